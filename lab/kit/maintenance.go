package kit

import (
	"context"
	"fmt"

	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/image"
)

// Maintenance is what a cluster needs that is upgraded and restored.
type Maintenance struct {
	// Before is what the cluster is made of: the release of Kubernetes before the kit's.
	Before *Kit
	// After is what it is upgraded to, and ControlPlane an archive with the images of that.
	After        *Kit
	ControlPlane string
	// EtcdTools are etcdctl and etcdutl.
	EtcdTools binaries.Set
}

// PrepareMaintenance builds what LoadMaintenance returns and the kit has not. Where
// Kubernetes was built before, that is a minute.
func PrepareMaintenance(ctx context.Context, o Options) error {
	before, err := o.previous()
	if err == nil {
		_, err = binaries.Build(ctx, before)
	}
	if err == nil {
		_, err = binaries.BuildEtcdTools(ctx, before)
	}
	if err != nil {
		return fmt.Errorf("prepare maintenance: %w", err)
	}
	_, err = LoadMaintenance(ctx, o)
	return err
}

// LoadMaintenance returns what an earlier Prepare and PrepareMaintenance made. Programs
// that are not built yet are binaries.ErrNotBuilt.
func LoadMaintenance(ctx context.Context, o Options) (*Maintenance, error) {
	before, err := o.previous()
	if err != nil {
		return nil, fmt.Errorf("load maintenance: %w", err)
	}
	m := &Maintenance{}
	if m.After, err = Load(ctx, o); err != nil {
		return nil, err
	}
	o.Kubernetes = before.Kubernetes
	if m.Before, err = Load(ctx, o); err != nil {
		return nil, err
	}
	if m.EtcdTools, err = binaries.LoadEtcdTools(ctx, before); err != nil {
		return nil, fmt.Errorf("load maintenance: %w", err)
	}
	if m.ControlPlane, err = image.UpgradeArchive(ctx, before.Cache, m.After.Programs, before.Report); err != nil {
		return nil, fmt.Errorf("load maintenance: %w", err)
	}
	return m, nil
}

func (o Options) previous() (binaries.Options, error) {
	o.Kubernetes = binaries.PreviousKubernetes
	return o.complete()
}
