package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/vpc"
)

// Spec describes a machine.
type Spec struct {
	// ID is the instance id; lower-case letters, digits and dashes.
	ID string
	// IP is the machine's address inside vpc.Subnet.
	IP netip.Addr
	// Hostname is what /etc/hostname says at the first boot; the address's
	// short name, as on Amazon's images, when empty.
	Hostname string
	// CPUs and MemoryMiB are what the instance type has. The memory is also the
	// limit of the machine's cgroup; CPUs are not limited, only counted.
	CPUs, MemoryMiB int
	// Image is what the disk starts from.
	Image image.Image
	// Files are put onto the disk before the first boot.
	Files map[string]image.File
	// Binds maps paths inside to files or directories of the host that the
	// machine sees there, read-only.
	Binds map[string]string
	// Metadata answers at 169.254.169.254 for this machine only; nil: nothing
	// answers.
	Metadata http.Handler
	// HopLimit is how far its answers travel: 1 reaches the machine, 2 its pods.
	HopLimit int
	// OnHalt, if set, is called in a goroutine of its own each time the machine
	// goes down without having been asked to through this package: with nil when
	// the guest powered itself off, else with what happened.
	OnHalt func(error)
}

func (s Spec) validate() error {
	if !validID.MatchString(s.ID) {
		return fmt.Errorf("id %q is not made of lower-case letters, digits and dashes", s.ID)
	}
	if s.CPUs < 1 || s.MemoryMiB < 64 {
		return fmt.Errorf("%d CPUs and %d MiB are not a machine", s.CPUs, s.MemoryMiB)
	}
	if len(s.Image.Layers) == 0 {
		return errors.New("image has no layers")
	}
	return nil
}

// ErrDown says that a machine is not running.
var ErrDown = errors.New("machine is not running")

// Machine is one instance. It is safe for concurrent use.
type Machine struct {
	host *Host
	spec Spec
	name string // of its cgroups and network namespace, and for nspawn
	uuid string // the guest's machine id, for its whole life
	dir  string
	log  *slog.Logger
	cg   cgroup
	imds *http.Server // nil: no metadata

	life sync.Mutex // held while the machine is made and while it is unmade

	mu   sync.Mutex
	now  *session // current or last session; nil before the first start
	gone bool     // terminated
}

// Launch makes a machine and starts it. It returns when the machine's init was
// started, not when the guest is up; see Machine.WaitUnits. The machine outlives
// ctx.
func (h *Host) Launch(ctx context.Context, spec Spec) (*Machine, error) {
	if err := spec.validate(); err != nil {
		return nil, fmt.Errorf("launch machine: %w", err)
	}
	m := &Machine{
		host: h, spec: spec, name: h.o.Prefix + "-" + spec.ID, uuid: newUUID(),
		dir: filepath.Join(h.dir, spec.ID), log: h.o.Log.With("machine", spec.ID),
	}
	m.life.Lock()
	err := h.add(m)
	if err != nil {
		return nil, fmt.Errorf("launch %s: %w", spec.ID, err)
	}
	err = m.make(ctx)
	if err == nil {
		err = m.Start(ctx)
	}
	m.life.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("launch %s: %w", spec.ID, err), m.terminate(context.WithoutCancel(ctx), 0))
	}
	return m, nil
}

// ID is the instance id.
func (m *Machine) ID() string { return m.spec.ID }

// IP is the machine's address.
func (m *Machine) IP() netip.Addr { return m.spec.IP }

// Path returns where the host sees a file of the machine's disk. It is valid
// until the machine is terminated. /tmp, /run, /var/lib/kubelet and
// /var/lib/containerd of a running machine are not on that disk.
func (m *Machine) Path(inside string) string {
	return filepath.Join(m.dir, "root", filepath.Clean("/"+inside))
}

func (m *Machine) port() vpc.Port {
	return vpc.Port{Name: m.spec.ID, IP: m.spec.IP, Services: m.host.o.Services}
}

// CutOff disconnects the machine from the network and from nothing else; see
// vpc.VPC.Cut. It lasts, over reboots too, until Connect.
func (m *Machine) CutOff() error { return m.host.net.Cut(m.port()) }

// Connect undoes CutOff.
func (m *Machine) Connect() error { return m.host.net.Mend(m.port()) }

// make makes all that the machine keeps until it is terminated.
func (m *Machine) make(ctx context.Context) error {
	if err := m.makeDisk(); err != nil {
		return err
	}
	cg, err := newCgroup(m.name, m.spec.MemoryMiB)
	if err != nil {
		return err
	}
	m.cg = cg
	if err := m.host.net.Attach(ctx, m.port()); err != nil {
		return err
	}
	if m.spec.Metadata == nil {
		return nil
	}
	l, err := m.host.net.ListenMetadata(ctx, m.spec.ID, max(m.spec.HopLimit, 1))
	if err != nil {
		return fmt.Errorf("serve metadata: %w", err)
	}
	m.imds = &http.Server{Handler: m.spec.Metadata, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug)}
	go func() {
		if err := m.imds.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("metadata service ended", "err", err)
		}
	}()
	return nil
}

// unmake removes all that make and earlier sessions made.
func (m *Machine) unmake(ctx context.Context) error {
	var errs []error
	if m.imds != nil {
		errs = append(errs, m.imds.Close())
	}
	m.cg.kill()
	errs = append(errs, m.host.net.Detach(m.port()), m.cg.remove(ctx), m.removeDisk())
	return errors.Join(errs...)
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// console opens the machine's console log for appending.
func (m *Machine) console() (*os.File, error) {
	return os.OpenFile(filepath.Join(m.dir, consoleName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

const consoleName = "console.log"
