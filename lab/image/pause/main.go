// Command pause holds a pod's namespaces open: it waits until it is told to
// end. It reaps nothing, as the lab's pods share no process namespace. With -v it
// ends at once, as kubeadm's check of a cluster's health expects.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-v" {
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
}
