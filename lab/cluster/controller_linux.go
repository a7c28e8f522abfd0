package cluster

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/joinery/joinery/lab/image"
)

// Controller is what joinery-controller consists of on a master.
type Controller struct {
	// Package is its Debian package on this computer. Without one, Binary and Units are
	// put in place as files.
	Package string
	// Binary is the program on this computer.
	Binary string
	// Config is the content of /etc/joinery/controller.yaml.
	Config []byte
	// RBAC are the manifests, "---" between them, that give it its rights.
	RBAC []byte
	// Units are the contents of its units, by their names.
	Units map[string][]byte
	// Environment is what the simulated AWS adds to the unit's environment, such
	// as AWS_ENDPOINT_URL. The values must not be secret.
	Environment map[string]string
}

const (
	controllerUnit = "joinery-controller.service"
	controllerBin  = "/usr/local/bin/joinery-controller"
	controllerConf = "/etc/joinery/controller.yaml"
	controllerEnv  = "/etc/joinery/controller.env"
)

// InstallController puts joinery-controller onto every control-plane node as an
// operator would, and starts its unit. The unit has joinery-credentials.service make it
// a client certificate of its own. The kubeconfig names the node's own API server: where
// that is down or cut off, the controller cannot renew the Lease and does not lead.
// InstallController returns when systemd takes the units for started.
func (c *Cluster) InstallController(ctx context.Context, k Controller) error {
	if _, err := c.Kubectl(ctx, k.RBAC, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("install controller: %w", err)
	}
	for _, m := range c.masters {
		if err := k.install(ctx, m); err != nil {
			return fmt.Errorf("install controller on %s: %w", m.NodeName, err)
		}
	}
	return nil
}

func (k Controller) install(ctx context.Context, m Master) error {
	files := map[string]image.File{controllerConf: {Data: k.Config}}
	if k.Package == "" {
		maps.Copy(files, k.loose())
	} else {
		if err := m.InstallPackage(ctx, k.Package); err != nil {
			return err
		}
		files[controllerEnv] = image.File{Data: environmentFile(k.Environment)}
	}
	if err := image.WriteFiles(m.Machine.Path("/"), files); err != nil {
		return err
	}
	return execAll(ctx, m.Machine, [][]string{
		{"systemctl", "daemon-reload"},
		{"systemctl", "enable", "--quiet", "--now", controllerUnit},
	})
}

// loose are the files that a package would have brought.
func (k Controller) loose() map[string]image.File {
	files := map[string]image.File{controllerBin: {Source: k.Binary, Mode: 0o755}}
	for name, text := range k.Units {
		files["/etc/systemd/system/"+name] = image.File{Data: text}
	}
	maps.Copy(files, image.DropIn(controllerUnit, k.Environment))
	return files
}

// environmentFile is what systemd reads by EnvironmentFile=.
func environmentFile(environment map[string]string) []byte {
	var text []byte
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		text = fmt.Appendf(text, "%s=%q\n", name, environment[name])
	}
	return text
}

// InstallPackage installs a Debian package of this computer on the master, in place of
// whichever version is there. Settings that were changed stay, as unattended upgrades
// have it.
func (m Master) InstallPackage(ctx context.Context, file string) error {
	place := "/var/tmp/" + filepath.Base(file)
	if err := image.WriteFiles(m.Machine.Path("/"), map[string]image.File{place: {Source: file}}); err != nil {
		return fmt.Errorf("install package: %w", err)
	}
	err := execAll(ctx, m.Machine, [][]string{
		{"env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", "--install", place},
		{"rm", place},
	})
	if err != nil {
		return fmt.Errorf("install package %s: %w", filepath.Base(file), err)
	}
	return nil
}
