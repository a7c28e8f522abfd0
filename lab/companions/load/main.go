// Command load serves work: a request for /burn?cpu=20ms is answered when that much
// processor time has been spent on it. How much a pod of it uses is then decided by
// its clients, as with any server.
package main

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	address = ":8080"
	// maxBurn bounds what one request may ask for.
	maxBurn = time.Second
	// readTime bounds how long a request may take to arrive.
	readTime = 10 * time.Second
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /burn", serveBurn)
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: readTime}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

func serveBurn(w http.ResponseWriter, r *http.Request) {
	amount, err := time.ParseDuration(r.FormValue("cpu"))
	if err != nil || amount <= 0 || amount > maxBurn {
		http.Error(w, fmt.Sprintf("cpu: %q: expected a duration of at most %s", r.FormValue("cpu"), maxBurn), http.StatusBadRequest)
		return
	}
	if err := burn(amount); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// one is held while a request is worked on: what the process spends is that request's.
var one sync.Mutex

// burn spends processor time, however long that takes.
func burn(amount time.Duration) error {
	one.Lock()
	defer one.Unlock()
	begin, err := spent()
	for now := begin; err == nil && now-begin < amount; now, err = spent() {
	}
	return err
}

// spent returns the processor time of this process.
func spent() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
