// Five more shapes, one for each word after the port: `ticker`, `context`, `connections`,
// and the clean ones `pool` and `lru`.
package main

import (
	"container/list"
	"context"
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"sync"
	"time"
)

// Watches an order by the minute, and forgets to stop.
func watchByTheMinute() *time.Ticker {
	return time.NewTicker(time.Minute)
}

// A context below one that lives as long as the server, never cancelled.
func detach(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	_ = cancel
	return ctx
}

type visitor struct {
	address string
	seen    [8]time.Time
}

// Who is here; nobody leaves.
type visitors struct {
	sync.Mutex
	byAddress map[string]*visitor
}

func (v *visitors) arrive(address string) {
	v.Lock()
	defer v.Unlock()
	v.byAddress[address] = &visitor{address: address}
}

type entry struct{ key, value string }

// Keeps the last few thousand, by key.
type lru struct {
	sync.Mutex
	order *list.List
	byKey map[string]*list.Element
}

func (l *lru) put(key string) {
	l.Lock()
	defer l.Unlock()
	if at, ok := l.byKey[key]; ok {
		l.order.MoveToFront(at)
		return
	}
	l.byKey[key] = l.order.PushFront(entry{key, key + "=" + key})
	if l.order.Len() > 2000 {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.byKey, last.Value.(entry).key)
	}
}

var buffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

func fill(key string) int {
	buffer := buffers.Get().(*[16 << 10]byte)
	defer buffers.Put(buffer)
	return copy(buffer[:], key)
}

func main() {
	runtime.MemProfileRate = 16 << 10
	shape := os.Args[2]
	all := &visitors{byAddress: map[string]*visitor{}}
	kept := &lru{order: list.New(), byKey: map[string]*list.Element{}}
	background, stop := context.WithCancel(context.Background())
	defer stop()
	http.HandleFunc("/order", func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.RawQuery
		switch shape {
		case "ticker":
			watchByTheMinute()
		case "context":
			detach(background)
		case "connections":
			all.arrive(key)
		case "pool":
			fill(key)
		case "lru":
			kept.put(key)
		}
		fmt.Fprintln(w, "taken")
	})
	http.HandleFunc("/look", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "nothing new")
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
