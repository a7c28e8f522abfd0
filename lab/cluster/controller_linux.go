package cluster

import (
	"context"
	"fmt"
	"maps"

	"github.com/joinery/joinery/lab/image"
)

// Controller is what joinery-controller consists of on a master.
type Controller struct {
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
)

// InstallController puts joinery-controller onto every control-plane node as an
// operator would, and starts its unit. The unit has joinery-credentials.service make it
// a client certificate of its own. The kubeconfig names the node's own API server: where
// that is down or cut off, the controller cannot renew the Lease and does not lead. InstallController returns when systemd
// takes the units for started.
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
	files := map[string]image.File{
		controllerBin:  {Source: k.Binary, Mode: 0o755},
		controllerConf: {Data: k.Config},
	}
	for name, text := range k.Units {
		files["/etc/systemd/system/"+name] = image.File{Data: text}
	}
	maps.Copy(files, image.DropIn(controllerUnit, k.Environment))
	if err := image.WriteFiles(m.Machine.Path("/"), files); err != nil {
		return err
	}
	return execAll(ctx, m.Machine, [][]string{
		{"systemctl", "daemon-reload"},
		{"systemctl", "enable", "--quiet", "--now", controllerUnit},
	})
}
