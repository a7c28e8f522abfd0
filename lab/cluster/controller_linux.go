package cluster

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/client-go/tools/clientcmd"

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

// InstallController puts joinery-controller onto every master as an operator
// would, with a client certificate of its own, and starts its unit. It returns
// when systemd takes the units for started.
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
	kubeconfig, err := controllerKubeconfig(ctx, m)
	if err != nil {
		return err
	}
	files := map[string]image.File{
		controllerBin:                           {Source: k.Binary, Mode: 0o755},
		controllerConf:                          {Data: k.Config},
		controllerKube:                          {Data: kubeconfig, Mode: 0o600},
		"/etc/systemd/system/" + controllerUnit: {Data: k.Unit},
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

// controllerKubeconfig makes the controller's kubeconfig, with the master's own
// API server in it, as kubeadm makes kube-controller-manager's. The controller
// of a master that is cut off, or whose API server is down, then cannot renew
// the Lease and does not lead; through the load balancer it would go on leading
// from a sick master. And a Network Load Balancer that preserves client
// addresses does not carry a target's connections back to itself.
func controllerKubeconfig(ctx context.Context, m Master) ([]byte, error) {
	text, err := m.Machine.Exec(ctx, "kubeadm", "kubeconfig", "user", "--config", kubeadmConf, "--client-name", controllerUser)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		return nil, fmt.Errorf("parse controller's kubeconfig: %w", err)
	}
	for _, c := range config.Clusters {
		c.Server = "https://" + Endpoint(m.Machine.IP())
	}
	if text, err = clientcmd.Write(*config); err != nil {
		return nil, fmt.Errorf("write controller's kubeconfig: %w", err)
	}
	return text, nil
}
