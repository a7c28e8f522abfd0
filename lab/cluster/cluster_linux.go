package cluster

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
	Host *machine.Host
	Kit  *kit.Kit
	// Name is the cluster's name.
	Name string
	// Master is the first one.
	Master Master
	// Targets, when set, are those of the load balancer that listens at BalancerIP
	// and is the cluster's endpoint then. Otherwise the first master's own API
	// server is, and no other master can join.
	Targets Targets
	Report  progress.Func
}

// Master is a machine, freshly launched from the node image, that is to carry a
// part of the control plane.
type Master struct {
	Machine  *machine.Machine
	NodeName string
	// ProviderID is "aws:///<zone>/<instance id>"; empty for none.
	ProviderID string
}

// Targets is how a load balancer is told where API servers are.
type Targets interface {
	Register(netip.AddrPort)
}

// Cluster is a running control plane. Its methods other than JoinMaster are safe
// for concurrent use.
type Cluster struct {
	o       Options
	masters []Master
	config  *rest.Config
	client  kubernetes.Interface
}

const (
	adminConf = "/etc/kubernetes/admin.conf"
	// kubeadmConf is what kubeadm is told about the cluster and one master.
	kubeadmConf = "/etc/kubernetes/lab-kubeadm.yaml"
)

// Init makes the machine a master. It returns when the API server answers and
// the control plane's pods were found healthy by kubeadm; the master's own Node
// may take another moment to become Ready.
func Init(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{o: o, masters: []Master{o.Master}}
	err := c.run(ctx,
		step{"master boots", func(ctx context.Context) error { return boot(ctx, o.Master) }},
		step{"master imports images", func(ctx context.Context) error { return c.importImages(ctx, o.Master) }},
		step{"kubeadm init", c.kubeadmInit},
		step{"control plane answers", c.connect},
	)
	if err != nil {
		return nil, fmt.Errorf("make control plane: %w", err)
	}
	return c, nil
}

func boot(ctx context.Context, m Master) error {
	return m.Machine.WaitUnits(ctx, "lab-machine.service", "containerd.service", "lab-images.service")
}

func (c *Cluster) importImages(ctx context.Context, m Master) error {
	archive, err := os.Open(c.o.Kit.ControlPlane)
	if err != nil {
		return fmt.Errorf("open control plane image: %w", err)
	}
	defer archive.Close()
	return pipe(ctx, m.Machine, archive, "ctr", "-n", "k8s.io", "images", "import", "--local", "-")
}

func (c *Cluster) kubeadmInit(ctx context.Context) error {
	m := c.o.Master
	c.register(m)
	if err := c.configure(m, nil); err != nil {
		return err
	}
	return execAll(ctx, m.Machine, [][]string{
		{"hostnamectl", "set-hostname", m.NodeName},
		{"kubeadm", "init", "--config", kubeadmConf, "--skip-phases=addon", "--skip-token-print"},
		{"systemctl", "enable", "--quiet", "kubelet.service"},
	})
}

// register tells the load balancer, if there is one, of the master's API server,
// which may come up later.
func (c *Cluster) register(m Master) {
	if c.o.Targets != nil {
		c.o.Targets.Register(netip.AddrPortFrom(m.Machine.IP(), APIPort))
	}
}

// configure puts onto the master what kubeadm and the API server read, and extra.
func (c *Cluster) configure(m Master, extra map[string]image.File) error {
	text, err := c.description(m).render()
	if err != nil {
		return err
	}
	files := map[string]image.File{kubeadmConf: {Data: text}, auditPolicyFile: {Data: auditPolicy}}
	maps.Copy(files, extra)
	return image.WriteFiles(m.Machine.Path("/"), files)
}

// connect makes the client and removes the token that kubeadm init left: it is
// good for a day and for any node's identity, and nobody here uses it.
func (c *Cluster) connect(ctx context.Context) error {
	text, err := os.ReadFile(c.o.Master.Machine.Path(adminConf))
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

// Master is the machine of the first master.
func (c *Cluster) Master() *machine.Machine { return c.o.Master.Machine }

// Masters returns all masters, the first one first.
func (c *Cluster) Masters() []Master { return slices.Clone(c.masters) }

// KubectlCommand is a command line by which a person reaches the cluster from
// this computer, for arguments to be appended to.
func (c *Cluster) KubectlCommand() []string {
	return []string{"ip", "netns", "exec", c.o.Host.VPC().Namespace(), c.o.Kit.Programs.Path("kubectl"), "--kubeconfig", c.o.Master.Machine.Path(adminConf)}
}

// Kubectl runs kubectl as administrator, with input as its standard input, and
// returns its standard output.
func (c *Cluster) Kubectl(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	return c.Run(ctx, input, c.o.Kit.Programs.Path("kubectl"), args...)
}

// Run runs a program of this computer like Kubectl: in the lab's network, and as
// administrator by $KUBECONFIG.
func (c *Cluster) Run(ctx context.Context, input []byte, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.o.Master.Machine.Path(adminConf))
	host.Detach(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	err := netns.Start(c.o.Host.VPC().Namespace(), cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
