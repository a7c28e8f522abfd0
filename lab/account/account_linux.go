package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/vpc"
)

const (
	// Region is where the account is.
	Region = "us-west-2"
	// StockOwner is the account under which Debian publishes its images.
	// https://wiki.debian.org/Cloud/AmazonEC2Image
	StockOwner = "136693071363"

	port = 4566
)

// Options says what to make an Account of.
type Options struct {
	Kit    *kit.Kit
	LogDir string // where the machines' logs go; empty for nowhere
	Log    *slog.Logger
}

// Account is a simulated AWS account with machines. Close it.
type Account struct {
	World *awssim.World
	Host  *machine.Host
	// Stock is the distribution's image: Debian of this computer's release.
	Stock awssim.Image

	cancel context.CancelFunc // ends what listens on the router
	served chan error
}

// Open makes an account. One that is returned with an error must be closed too, unless
// it is nil.
func Open(ctx context.Context, o Options) (*Account, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h, err := machine.NewHost(machine.Options{LogDir: o.LogDir, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("open account: %w", err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &Account{Host: h, cancel: cancel, served: make(chan error, 1), World: &awssim.World{Region: Region, Log: o.Log}}
	hypervisor := &cluster.Hypervisor{Host: h, World: a.World}
	a.World.Hypervisor = hypervisor
	close(a.served) // nothing listens yet
	if a.Stock, hypervisor.Image, err = Publish(ctx, o.Kit, h, a.World, hypervisor); err != nil {
		return a, fmt.Errorf("open account: %w", err)
	}
	l, err := h.VPC().Listen(ctx, port)
	if err != nil {
		return a, fmt.Errorf("open account: %w", err)
	}
	a.served = make(chan error, 1)
	go func() { a.served <- a.World.Serve(serving, l) }()
	return a, nil
}

// Publish registers the distribution's image in a world, as one of the distribution's
// account, and has the world's machines boot from it.
func Publish(ctx context.Context, k *kit.Kit, h *machine.Host, w *awssim.World, hypervisor *cluster.Hypervisor) (awssim.Image, image.Image, error) {
	stock, err := k.Stock(ctx)
	if err != nil {
		return awssim.Image{}, image.Image{}, err
	}
	files, err := image.Machine(w.Region)
	if err != nil {
		return awssim.Image{}, image.Image{}, err
	}
	disk, err := stock.With(filepath.Join(h.Dir(), "stock"), files)
	if err != nil {
		return awssim.Image{}, image.Image{}, err
	}
	created := time.Date(2026, time.January, 10, 6, 0, 0, 0, time.UTC)
	m := w.PutImage(awssim.Image{
		Name: "debian-12-" + runtime.GOARCH + "-" + created.Format("20060102") + "-1989", Description: "Debian 12 (" + created.Format("20060102") + "-1989)",
		Owner: StockOwner, Public: true, Architecture: map[string]string{"amd64": "x86_64"}[runtime.GOARCH], Created: created,
	})
	hypervisor.SetImage(m.ID, disk)
	return m, disk, nil
}

// Endpoint is where all services answer, in the lab's network only.
func (a *Account) Endpoint() string { return fmt.Sprintf("http://%s:%d", vpc.Gateway, port) }

// Environment is what has a program of the SDK act in the account as a role, and look
// for credentials nowhere else.
func (a *Account) Environment(role string) []string {
	c := a.World.Credentials(role)
	return []string{
		"AWS_ENDPOINT_URL=" + a.Endpoint(), "AWS_REGION=" + Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey, "AWS_SESSION_TOKEN=" + c.SessionToken,
	}
}

// Command prepares a program that runs beside the account's router and so reaches AWS
// and every machine, and nothing else. Its group ends with ctx.
func (a *Account) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", a.Host.VPC().Namespace(), name}, args...)...)
	host.Detach(cmd)
	return cmd
}

// Close takes everything down and then says what is left, which must be nothing.
func (a *Account) Close(ctx context.Context) (leftovers []string, err error) {
	a.World.Close()
	a.cancel()
	err = errors.Join(<-a.served, a.Host.Close(ctx))
	left, lerr := machine.Leftovers(a.Host.Prefix(), machine.DefaultRoot)
	return left, errors.Join(err, lerr)
}
