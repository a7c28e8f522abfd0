package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/joinery/joinery/internal/redact"
)

// Class says what kind of trouble kubeadm ran into and so what may cure it.
type Class string

// The classes of kubeadm's failures.
const (
	// Credentials: the certificate or token is not accepted; a fresh bundle may be.
	Credentials Class = "credentials"
	// Trust: what answered is not the cluster that the bundle pins.
	Trust Class = "trust"
	// Clock: a certificate is not valid yet by this machine's clock.
	Clock Class = "clock"
	// Duplicate: a Ready Node of this name exists already.
	Duplicate Class = "duplicate-node"
	// Leftovers: files or a kubelet of an earlier join are in the way.
	Leftovers Class = "leftovers"
	// Preflight: the machine does not fulfil a requirement.
	Preflight Class = "preflight"
	// Kubelet: the kubelet does not start.
	Kubelet Class = "kubelet"
	// Bootstrap: the kubelet's own certificate was not issued in time.
	Bootstrap Class = "tls-bootstrap"
	// Unreachable: the API server does not answer.
	Unreachable Class = "unreachable"
	// Unknown is everything else.
	Unknown Class = "unknown"
)

// signatures map what kubeadm 1.31 to 1.37 prints to a class; the first match
// counts, so that causes stand before what follows from them.
var signatures = []struct {
	class Class
	text  *regexp.Regexp
}{
	{Clock, regexp.MustCompile(`x509: certificate has expired or is not yet valid|not yet valid`)},
	{Trust, regexp.MustCompile(`certificate signed by unknown authority|x509: certificate is (valid for|not valid for)|cluster CA found in cluster-info ConfigMap is invalid`)},
	{Duplicate, regexp.MustCompile(`a Node with name .* and status .* already exists`)},
	{Leftovers, regexp.MustCompile(`\[ERROR (FileAvailable-[^\]]*|DirAvailable-[^\]]*|Port-10250)\]`)},
	{Preflight, regexp.MustCompile(`\[ERROR [^\]]+\]`)},
	{Kubelet, regexp.MustCompile(`failed while waiting for the kubelet to start|kubelet isn't running or healthy`)},
	{Bootstrap, regexp.MustCompile(`failed while waiting for TLS bootstrap|timed out waiting for the kubelet to perform the TLS`)},
	{Credentials, regexp.MustCompile(`Unauthorized|is invalid for this cluster or it has expired|[Ff]orbidden`)},
	{Unreachable, regexp.MustCompile(`connection refused|no route to host|i/o timeout|context deadline exceeded|Client\.Timeout|connection reset`)},
}

// advice says what an operator can do about a class, or what the agent does.
var advice = map[Class]string{
	Credentials: "reading a fresh bundle",
	Trust:       "the API server does not present a certificate of the pinned CA: not joining",
	Clock:       "waiting for the clock to be set",
	Duplicate:   "waiting for the stale Node object to be deleted",
	Leftovers:   "cleaning what an earlier join left",
	Preflight:   "the image lacks something that kubeadm requires",
	Kubelet:     "see journalctl -u kubelet",
	Bootstrap:   "the kubelet's own certificate was not issued",
	Unreachable: "waiting for the API server",
	Unknown:     "see the log of kubeadm above",
}

// KubeadmError says why kubeadm join failed.
type KubeadmError struct {
	Class Class
	// Line is the line of kubeadm's output that the class was told by, redacted.
	Line string
	// Err is how the process ended.
	Err error
}

// Error says what kubeadm said and what comes next.
func (e *KubeadmError) Error() string {
	return fmt.Sprintf("kubeadm join: %s (%s): %s: %v", e.Class, advice[e.Class], e.Line, e.Err)
}

// Unwrap returns how the process ended.
func (e *KubeadmError) Unwrap() error { return e.Err }

// Slow says that to try again soon is of no use.
func (e *KubeadmError) Slow() bool {
	return e.Class == Trust || e.Class == Duplicate || e.Class == Preflight
}

// classify tells the class by kubeadm's output.
func classify(output string) (Class, string) {
	for _, s := range signatures {
		if at := s.text.FindStringIndex(output); at != nil {
			start := strings.LastIndexByte(output[:at[0]], '\n') + 1
			line, _, _ := strings.Cut(output[start:], "\n")
			return s.class, strings.TrimSpace(line)
		}
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return Unknown, strings.TrimSpace(lines[len(lines)-1])
}

// maxOutput bounds what is kept of kubeadm's output; what fails is at its end.
const maxOutput = 64 << 10

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - maxOutput; over > 0 {
		t.buf = bytes.Clone(t.buf[over:])
	}
	return len(p), nil
}

// runKubeadm runs kubeadm join with a configuration file and nothing else on
// its command line. Its output goes to the log line by line, redacted. Errors
// are *KubeadmError.
func runKubeadm(ctx context.Context, log *slog.Logger, program, config string) error {
	cmd := exec.CommandContext(ctx, program, "join", "--config", config)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	log.Info("run kubeadm", "command", cmd.String())
	began := time.Now()
	err := cmd.Run()
	// kubeadm prints a whole token in one of its errors, and at high verbosity
	// bodies with keys.
	text := redact.Text(string(out.buf))
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			log.Info("kubeadm: " + line)
		}
	}
	log.Info("kubeadm ended", "seconds", time.Since(began).Seconds(), "error", err)
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return &KubeadmError{Class: Preflight, Line: "kubeadm is not installed", Err: err}
	}
	class, line := classify(text)
	return &KubeadmError{Class: class, Line: line, Err: err}
}
