// Goroutines that wait for a word nobody will say; `mended` lets go of them at the end.
//
// For each order a goroutine is told when it is paid. Nobody pays, and without a way out the
// goroutine waits for good: its stack is no part of the heap profile.
package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
)

type order struct {
	paid chan bool
	done chan struct{}
}

func (o *order) follow(mended bool) {
	go func() {
		if !mended {
			<-o.paid
			return
		}
		select {
		case <-o.paid:
		case <-o.done:
		}
	}()
}

func main() {
	mended := len(os.Args) > 2 && os.Args[2] == "mended"
	http.HandleFunc("/order", func(w http.ResponseWriter, r *http.Request) {
		o := &order{paid: make(chan bool), done: make(chan struct{})}
		o.follow(mended)
		fmt.Fprintln(w, "taken")
		close(o.done)
	})
	http.HandleFunc("/look", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "nothing new")
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
