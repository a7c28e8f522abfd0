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
	// Unit is the content of joinery-controller.service.
	Unit []byte
	// Environment is what the simulated AWS adds to the unit's environment, such
	// as AWS_ENDPOINT_URL. The values must not be secret.
	Environment map[string]string
}

const (
	controllerUser = "joinery-controller"
	controllerUnit = "joinery-controller.service"
	controllerBin  = "/usr/local/bin/joinery-controller"
	controllerConf = "/etc/joinery/controller.yaml"
	controllerKube = "/etc/joinery/controller.kubeconfig"
)

// InstallController puts joinery-controller onto the master as an operator
// would, with a client certificate of its own, and starts its unit. It returns
// when systemd takes the unit for started.
func (c *Cluster) InstallController(ctx context.Context, k Controller) error {
	kubeconfig, err := c.o.Master.Exec(ctx, "kubeadm", "kubeconfig", "user", "--config", initConf, "--client-name", controllerUser)
	if err != nil {
		return fmt.Errorf("install controller: %w", err)
	}
	if _, err := c.Kubectl(ctx, k.RBAC, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("install controller: %w", err)
	}
	files := map[string]image.File{
		controllerBin:                           {Source: k.Binary, Mode: 0o755},
		controllerConf:                          {Data: k.Config},
		controllerKube:                          {Data: kubeconfig, Mode: 0o600},
		"/etc/systemd/system/" + controllerUnit: {Data: k.Unit},
	}
	maps.Copy(files, image.DropIn(controllerUnit, k.Environment))
	if err := image.WriteFiles(c.o.Master.Path("/"), files); err != nil {
		return fmt.Errorf("install controller: %w", err)
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", "--quiet", "--now", controllerUnit}} {
		if _, err := c.o.Master.Exec(ctx, append([]string{"systemctl"}, args...)...); err != nil {
			return fmt.Errorf("install controller: %w", err)
		}
	}
	return nil
}
