// Command pause holds a pod's namespaces open: it waits until it is told to
// end. It reaps nothing, as the lab's pods share no process namespace.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
}
