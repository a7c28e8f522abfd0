package host

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Run runs cmd in a process group of its own and returns its mixed output. A
// Ctrl-C of the terminal does not reach the group; when the context that cmd
// was made with ends, the group is asked to end and, five seconds later, killed.
func Run(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	Detach(cmd)
	err := cmd.Run()
	return out.Bytes(), err
}

// Detach gives cmd a process group of its own and makes its context end the
// whole group, children that cmd made included.
func Detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if cmd.Cancel == nil { // a command without a context has nothing to be ended by
		return
	}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		err := syscall.Kill(group, syscall.SIGTERM)
		time.AfterFunc(4*time.Second, func() {
			if errors.Is(syscall.Kill(group, 0), syscall.ESRCH) {
				return
			}
			_ = syscall.Kill(group, syscall.SIGKILL) // it may be gone by now, which is as good
		})
		return err
	}
	cmd.WaitDelay = 5 * time.Second
}

// AptProxy returns the HTTP proxy that apt on this machine is configured with,
// "" for none, so that debootstrap goes the way that apt goes.
func AptProxy(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-config", "shell", "P", "Acquire::http::Proxy").Output()
	if err != nil {
		return "" // no apt: no proxy of apt either
	}
	v, _ := strings.CutPrefix(strings.TrimSpace(string(out)), "P=")
	v = strings.Trim(v, "'")
	if strings.EqualFold(v, "DIRECT") {
		return ""
	}
	return v
}
