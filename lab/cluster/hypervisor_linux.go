package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
)

// Hypervisor runs the instances of a simulated AWS as lab machines. It
// implements awssim.Hypervisor. World must be set before the first instance is
// launched, Host and Image too.
type Hypervisor struct {
	Host *machine.Host
	// World answers each instance's metadata requests and hears of guests that
	// power themselves off.
	World *awssim.World
	// Image is what instances boot from whose AMI has no image of its own.
	Image image.Image
	// Customize, if set, may change what is about to be launched.
	Customize func(awssim.Instance, *machine.Spec)

	mu     sync.Mutex
	images map[string]image.Image // AMI -> what its instances boot from
}

var (
	_ awssim.Hypervisor = (*Hypervisor)(nil)
	_ awssim.Imager     = (*Hypervisor)(nil)
)

// SetImage makes instances of an AMI boot from an image.
func (h *Hypervisor) SetImage(ami string, i image.Image) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.images == nil {
		h.images = map[string]image.Image{}
	}
	h.images[ami] = i
}

func (h *Hypervisor) imageOf(ami string) image.Image {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, ok := h.images[ami]; ok {
		return i
	}
	return h.Image
}

// CreateImage keeps the disk of an instance's machine in the run's directory, for as
// long as the run lasts: machines that were launched from it need it.
func (h *Hypervisor) CreateImage(ctx context.Context, instanceID, ami string, reboot bool) (err error) {
	m, err := h.find(instanceID)
	if err != nil {
		return err
	}
	if reboot && m.State() == machine.Running {
		if err := m.Stop(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Start(ctx)) }()
	}
	i, err := m.Snapshot(filepath.Join(h.Host.Dir(), ami))
	if err != nil {
		return err
	}
	h.SetImage(ami, i)
	return nil
}

// Start launches the instance's machine, or starts it again when it was stopped.
func (h *Hypervisor) Start(ctx context.Context, i awssim.Instance) error {
	if m, ok := h.Host.Machine(i.ID); ok {
		return m.Start(ctx)
	}
	ip, err := netip.ParseAddr(i.PrivateIP)
	if err != nil {
		return fmt.Errorf("start %s: %w", i.ID, err)
	}
	spec := machine.Spec{
		ID: i.ID, IP: ip, CPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, Image: h.imageOf(i.ImageID), HopLimit: i.HopLimit,
		Metadata: h.World.IMDS(i.ID),
		// A guest that crashed has stopped in EC2's eyes too.
		OnHalt: func(error) { h.World.Halted(i.ID) },
	}
	if h.Customize != nil {
		h.Customize(i, &spec)
	}
	_, err = h.Host.Launch(ctx, spec)
	return err
}

// Stop powers the instance's machine off.
func (h *Hypervisor) Stop(ctx context.Context, instanceID string) error {
	m, err := h.find(instanceID)
	if err != nil {
		return err
	}
	return m.Stop(ctx)
}

// Reboot makes the instance's machine boot again.
func (h *Hypervisor) Reboot(ctx context.Context, instanceID string) error {
	m, err := h.find(instanceID)
	if err != nil {
		return err
	}
	return m.Reboot(ctx)
}

// Terminate deletes the instance's machine. One that never came to be, or is
// gone already, is no error.
func (h *Hypervisor) Terminate(ctx context.Context, instanceID string) error {
	if m, ok := h.Host.Machine(instanceID); ok {
		return m.Terminate(ctx)
	}
	return nil
}

func (h *Hypervisor) find(instanceID string) (*machine.Machine, error) {
	m, ok := h.Host.Machine(instanceID)
	if !ok {
		return nil, fmt.Errorf("instance %s has no machine", instanceID)
	}
	return m, nil
}
