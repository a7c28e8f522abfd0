package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/netns"
	"github.com/joinery/joinery/lab/progress"
)

// Options says what to make a control plane of.
type Options struct {
	// Host is the run, Master one of its machines, freshly launched from the
	// kit's AMI.
	Host   *machine.Host
	Master *machine.Machine
	Kit    *kit.Kit
	// Name is the cluster's name, NodeName the master's.
	Name, NodeName string
	// ProviderID is the master's, "aws:///<zone>/<instance id>"; empty for none.
	ProviderID string
	Report     progress.Func
}

// Cluster is a running control plane.
type Cluster struct {
	o      Options
	config *rest.Config
	client kubernetes.Interface
}

const (
	adminConf = "/etc/kubernetes/admin.conf"
	initConf  = "/etc/kubernetes/lab-init.yaml"
)

// Init makes the machine a master. It returns when the API server answers and
// the control plane's pods were found healthy by kubeadm; the master's own Node
// may take another moment to become Ready.
func Init(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{o: o}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"master boots", func(ctx context.Context) error {
			return o.Master.WaitUnits(ctx, "lab-machine.service", "containerd.service", "lab-images.service")
		}},
		{"master imports images", c.importImages},
		{"kubeadm init", c.kubeadmInit},
		{"control plane answers", c.connect},
	}
	for _, s := range steps {
		err := o.Report.Step(s.name, func() (bool, error) { return false, s.do(ctx) })
		if err != nil {
			return nil, fmt.Errorf("make control plane: %s: %w", s.name, err)
		}
	}
	return c, nil
}

func (c *Cluster) importImages(ctx context.Context) error {
	archive, err := os.Open(c.o.Kit.ControlPlane)
	if err != nil {
		return fmt.Errorf("open control plane image: %w", err)
	}
	defer archive.Close()
	return c.pipe(ctx, archive, "ctr", "-n", "k8s.io", "images", "import", "--local", "-")
}

func (c *Cluster) kubeadmInit(ctx context.Context) error {
	config := initConfig{
		Cluster: c.o.Name, NodeName: c.o.NodeName, IP: c.o.Master.IP().String(),
		ProviderID: c.o.ProviderID, CgroupV1: machine.CgroupV1(),
	}
	text, err := config.render()
	if err != nil {
		return err
	}
	if err := image.WriteFiles(c.o.Master.Path("/"), map[string]image.File{initConf: {Data: text}}); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"hostnamectl", "set-hostname", c.o.NodeName},
		{"kubeadm", "init", "--config", initConf, "--skip-phases=addon", "--skip-token-print"},
		{"systemctl", "enable", "--quiet", "kubelet.service"},
	} {
		if _, err := c.o.Master.Exec(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// connect makes the client and removes the token that kubeadm init left: it is
// good for a day and for any node's identity, and nobody here uses it.
func (c *Cluster) connect(ctx context.Context) error {
	text, err := os.ReadFile(c.o.Master.Path(adminConf))
	if err != nil {
		return fmt.Errorf("read admin kubeconfig: %w", err)
	}
	if c.config, err = clientcmd.RESTConfigFromKubeConfig(text); err != nil {
		return fmt.Errorf("parse admin kubeconfig: %w", err)
	}
	c.config.Dial = c.o.Host.VPC().DialContext
	c.config.QPS, c.config.Burst = -1, -1 // tests poll; the server's own limits do
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	err = c.client.CoreV1().Secrets(metav1.NamespaceSystem).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeBootstrapToken)})
	if err != nil {
		return fmt.Errorf("remove kubeadm's bootstrap token: %w", err)
	}
	return nil
}

// Client is a client with the administrator's rights.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Master is the machine that the control plane runs on.
func (c *Cluster) Master() *machine.Machine { return c.o.Master }

// KubectlCommand is a command line by which a person reaches the cluster from
// this computer, for arguments to be appended to.
func (c *Cluster) KubectlCommand() []string {
	return append([]string{"ip", "netns", "exec", c.o.Host.VPC().Namespace()}, c.kubectl()...)
}

func (c *Cluster) kubectl() []string {
	return []string{c.o.Kit.Programs.Path("kubectl"), "--kubeconfig", c.o.Master.Path(adminConf)}
}

// Kubectl runs kubectl as administrator, with input as its standard input, and
// returns its standard output.
func (c *Cluster) Kubectl(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	line := append(c.kubectl(), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	host.Detach(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	err := netns.Start(c.o.Host.VPC().Namespace(), cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// WaitNode waits until the Node called name is Ready and returns it.
func (c *Cluster) WaitNode(ctx context.Context, name string) (*corev1.Node, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := "it does not exist"
	for {
		node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			for _, cond := range node.Status.Conditions {
				if cond.Type != corev1.NodeReady {
					continue
				}
				if cond.Status == corev1.ConditionTrue {
					return node, nil
				}
				last = cond.Message
			}
		case !apierrors.IsNotFound(err):
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for node %s: %w: %s", name, context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// pipe runs a command on the master with input as its standard input.
func (c *Cluster) pipe(ctx context.Context, input io.Reader, args ...string) error {
	cmd, err := c.o.Master.Command(ctx, args...)
	if err != nil {
		return err
	}
	cmd.Stdin = input
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("run %s on the master: %w: %s", args[0], err, strings.TrimSpace(out.String())), context.Cause(ctx))
	}
	return nil
}
