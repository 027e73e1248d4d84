// A slice of what was asked that is only ever appended to; `mended` keeps the last thousand.
package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"strings"
	"sync"
)

const bound = 1000

type journal struct {
	sync.Mutex
	lines  []string
	next   int
	mended bool
}

func (j *journal) write(path string) {
	j.Lock()
	defer j.Unlock()
	line := strings.Repeat(path, 40)
	if !j.mended {
		j.lines = append(j.lines, line)
		return
	}
	if len(j.lines) < bound {
		j.lines = append(j.lines, line)
	}
	j.lines[j.next%bound%len(j.lines)] = line
	j.next++
}

func main() {
	runtime.MemProfileRate = 16 << 10
	j := &journal{mended: len(os.Args) > 2 && os.Args[2] == "mended"}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/look" {
			j.write(r.URL.Path)
		}
		fmt.Fprintln(w, "ok")
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
