package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/joinery/joinery/lab/netns"
)

// rebooted is nspawn's exit status when the guest asked for a reboot. Without
// --keep-unit it would boot again by itself, in the cgroups of the first boot.
const rebooted = 133

// session is a machine's time from a start to the next halt; reboots are inside.
type session struct {
	done chan struct{} // closed when the machine is down

	mu     sync.Mutex
	nspawn *os.Process // of the current boot; nil between two
	asked  bool        // the halt was asked for through this package
	boots  int
	err    error // why it went down; nil: the guest powered itself off
}

func (s *session) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
}

func (s *session) wasAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// leader returns the pid of the guest's init as the host sees it, 0 while there
// is none.
func (s *session) leader() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nspawn == nil {
		return 0
	}
	for _, pid := range children(s.nspawn.Pid) {
		if isInit(pid) {
			return pid
		}
	}
	return 0
}

// children lists the child processes of pid.
func children(pid int) []int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil // only a bad pattern does that
	}
	var out []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread ended
		}
		for _, f := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(f); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// isInit says whether pid is the first process of a PID namespace below ours.
// While nspawn sets a machine up its child is not yet.
func isInit(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(ids)
			return len(f) > 1 && f[len(f)-1] == "1"
		}
	}
	return false
}

// Start starts a machine that is stopped, with its disk as it was left.
// Starting a running machine does nothing.
func (m *Machine) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.gone:
		return fmt.Errorf("start %s: %w", m.spec.ID, ErrTerminated)
	case m.now != nil && !m.now.over():
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("start %s: %w", m.spec.ID, context.Cause(ctx))
	}
	s := &session{done: make(chan struct{})}
	started := make(chan error, 1)
	go m.supervise(context.WithoutCancel(ctx), s, started)
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", m.spec.ID, err)
	}
	m.now = s
	return nil
}

// ErrTerminated says that a machine was terminated and its disk deleted.
var ErrTerminated = errors.New("machine is terminated")

// supervise boots the machine until it halts. It keeps its thread to the end:
// nspawn asks to be sent SIGTERM, an orderly power-off, when the thread that
// made it dies, so machines go down with a lab process that is killed.
func (m *Machine) supervise(ctx context.Context, s *session, started chan<- error) {
	runtime.LockOSThread()
	for {
		err := m.boot(s, started)
		// Processes outlive nspawn when nspawn itself is killed.
		m.cg.kill()
		clearing, cancel := context.WithTimeout(ctx, 5*time.Second)
		if err := m.cg.remove(clearing); err != nil {
			m.log.Warn("old cgroups stay", "err", err)
		}
		cancel()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == rebooted {
			m.log.Info("machine reboots")
			continue
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		break
	}
	close(s.done) // first, so that whoever is told of a halt finds a machine that is stopped
	if !s.wasAsked() {
		m.log.Info("machine went down by itself", "err", s.err)
		if m.spec.OnHalt != nil {
			go m.spec.OnHalt(s.err)
		}
	}
}

// boot runs nspawn once, from the guest's power-on to its halt or reboot. It
// reports to started when nspawn runs; a nil error means powered off.
func (m *Machine) boot(s *session, started chan<- error) error {
	report := func(err error) {
		select {
		case started <- err:
		default: // the first boot has reported already
		}
	}
	if err := m.cg.create(); err != nil {
		report(err)
		return err
	}
	console, err := m.console()
	if err != nil {
		report(err)
		return err
	}
	defer console.Close()
	cmd := m.nspawn()
	cmd.Stdout, cmd.Stderr = console, console
	s.mu.Lock()
	if err = cmd.Start(); err == nil {
		s.nspawn = cmd.Process
		s.boots++
	}
	s.mu.Unlock()
	report(err)
	if err != nil {
		return fmt.Errorf("start nspawn: %w", err)
	}
	err = cmd.Wait()
	s.mu.Lock()
	s.nspawn = nil
	s.mu.Unlock()
	return err
}

// enter moves the shell into each cgroup that is named before "--" and then
// becomes the command that is named after it.
const enter = `while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"`

// nspawn makes the command that is the machine.
func (m *Machine) nspawn() *exec.Cmd {
	instance, _ := m.host.net.Namespaces(m.spec.ID)
	args := append([]string{"-c", enter, "lab-machine"}, m.cg.procs()...)
	args = append(args, "--", "systemd-nspawn", "--quiet", "--boot",
		"--directory="+filepath.Join(m.dir, "root"), "--machine="+m.name, "--uuid="+m.uuid,
		"--network-namespace-path="+netns.Path(instance),
		// No machined or host systemd is asked for anything: the cgroup is ours.
		"--register=no", "--keep-unit", "--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		// --network-namespace-path does not grant CAP_NET_ADMIN by itself.
		"--capability=CAP_NET_ADMIN,CAP_SYSLOG",
		// runc makes a keyring per container, and device rules with bpf on cgroup v2.
		"--system-call-filter=@keyring bpf",
		// The host's kernel log is not the guests'.
		"--bind=/dev/null:/dev/kmsg",
		"--bind="+filepath.Join(m.dir, "containerd")+":/var/lib/containerd",
		"--bind="+filepath.Join(m.dir, "kubelet")+":/var/lib/kubelet",
		"--bind-ro="+filepath.Join(m.dir, "lab")+":/opt/lab")
	for inside, outside := range m.spec.Binds {
		args = append(args, "--bind-ro="+outside+":"+inside)
	}
	cmd := exec.Command("/bin/sh", args...)
	// kubeadm and the CNI plugins write /proc/sys/net, the machine's own.
	cmd.Env = append(slices.Clone(os.Environ()), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd
}
