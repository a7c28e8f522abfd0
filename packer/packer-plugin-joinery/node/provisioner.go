package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/joinery/joinery/packer/bake"
	"github.com/joinery/joinery/packer/check"
)

// Provisioner implements packer's interface of the same name.
type Provisioner struct{ config Config }

var _ packersdk.Provisioner = (*Provisioner)(nil)

// ConfigSpec implements packersdk.Provisioner.
func (p *Provisioner) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Prepare implements packersdk.Provisioner: it reads the block and returns everything
// that is wrong with it.
func (p *Provisioner) Prepare(raws ...any) error {
	if err := p.config.decode(raws...); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	return p.config.options().Problems().Err()
}

// Provision implements packersdk.Provisioner: it bakes the machine and checks it.
func (p *Provisioner) Provision(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
	b := bake.Baker{
		Machine: machine{comm},
		Report:  func(s bake.Step) { ui.Say(s.Name + ": " + s.Reason) },
	}
	plan, err := b.Bake(ctx, p.config.options())
	if err != nil {
		return err
	}
	ui.Say(fmt.Sprintf("check: %d checks of the image", len(check.Names())))
	found, err := b.Check(ctx)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return rejected(found)
	}
	ui.Say(fmt.Sprintf("baked %s with Kubernetes %s and containerd %s", plan.System, p.config.KubernetesVersion, p.config.ContainerdVersion))
	return nil
}

// rejected are the checks that an image fails.
type rejected []check.Finding

// Error implements error: a line for each check.
func (r rejected) Error() string {
	lines := make([]string, len(r))
	for i, f := range r {
		lines[i] = f.String()
	}
	return fmt.Sprintf("the image fails %d of its checks and is not kept:\n%s", len(r), strings.Join(lines, "\n"))
}
