// Command joinery is for those who operate a cluster. Under the name
// kubectl-joinery it is a plugin of kubectl. It has the rights of the kubeconfig
// that it is run with, and none of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/joinery/joinery/internal/output"
	"github.com/joinery/joinery/internal/redact"
	"github.com/joinery/joinery/internal/version"
)

// Exit codes. Scripts rely on them.
const (
	// exitFound: what was asked for could not be done, or the doctor found
	// something that is unsafe or broken.
	exitFound = 1
	// exitBlind: the doctor could not look, or the command was misused.
	exitBlind = 2
)

// exitError ends the program with a code, and with nothing to say if err is nil.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	klog.LogToStderr(false) // client-go's own lines would stand between findings
	klog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command(os.Args[0], os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	os.Exit(report(os.Stderr, err))
}

// report says what went wrong and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	// Redacted as a whole: a key has several lines.
	for line := range strings.Lines(redact.Text(err.Error())) { // misuse has several
		fmt.Fprintln(w, "joinery:", output.Line(strings.TrimSuffix(line, "\n")))
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitBlind
}

func command(name string, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "joinery", Short: "Look after a cluster whose nodes Joinery joins",
		SilenceErrors: true, SilenceUsage: true,
	}
	// kubectl runs its plugins by this name.
	if strings.HasPrefix(filepath.Base(name), "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl joinery"}
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	k := &kubeconfig{}
	root.PersistentFlags().StringVar(&k.path, "kubeconfig", "", "the kubeconfig to use; as kubectl chooses it when empty")
	root.PersistentFlags().StringVar(&k.context, "context", "", "the context to use in it; its current one when empty")
	root.AddCommand(doctorCommand(k), adoptCommand(k), tokenCommand(k), iamCommand(), releaseCommand(k), uninstallCommand(k))
	version.AddTo(root)
	return root
}
