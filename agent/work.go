package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/joinery/joinery/agent/boot"
	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/api/v1alpha1"
)

// work ties the stages of the boot to this machine.
func (a *agent) work(save func(boot.State) error) *boot.Work {
	a.aws.log = a.log
	joiner := &join.Joiner{Paths: a.options.Paths, Units: a.units, Prover: &a.aws, Log: a.log}
	return &boot.Work{
		Metadata: a.metadata, Membership: joiner, Joiner: joiner,
		SetHostname: a.bus.SetHostname, Quiet: a.units.Quiet, Fetch: a.aws.fetch,
		Verify: a.verify, Kept: a.kept, Look: a.look, Report: a.report, Ready: a.notifier.Ready, Save: save,
		State: a.state, BootID: a.bootID, Log: a.log,
	}
}

// account is what the node does with AWS: by the role of its instance profile it
// reads one parameter, and by the instance's own identity it signs. The clients are made when they are first needed: a
// node that is joined needs none.
type account struct {
	parameters *ssm.Client
	prover     *proof.Instance
	log        *slog.Logger
}

func (c *account) connect(ctx context.Context, region string) error {
	if c.parameters != nil {
		return nil
	}
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		// Many instances of a group boot together and share one limit:
		// adaptive mode slows down before it is throttled.
		config.WithRetryer(func() aws.Retryer { return retry.NewAdaptiveMode() }),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = imds.NewSDK() }))
	if err != nil {
		return fmt.Errorf("configure AWS: %w", err)
	}
	c.parameters, c.prover = ssm.NewFromConfig(loaded), proof.NewInstance(loaded, imds.New(), c.log)
	return nil
}

func (c *account) fetch(ctx context.Context, n join.Node) (*v1alpha1.JoinBundle, error) {
	if err := c.connect(ctx, n.Facts.Region); err != nil {
		return nil, err
	}
	return join.FetchBundle(ctx, c.parameters, n.Spec, time.Now())
}

// Prove signs for a request, which is made with a bundle that was fetched.
func (c *account) Prove(ctx context.Context, cluster string, request []byte) (string, error) {
	return c.prover.Prove(ctx, cluster, request)
}

// Doubt has the next proof be of another kind.
func (c *account) Doubt() {
	if c.prover != nil {
		c.prover.Doubt()
	}
}

// nodeClient acts as the kubelet, by the certificate that the kubelet renews;
// the file is read again when it changes. Each join gets a client with
// connections of its own: the cached ones of client-go would go on for minutes
// with the certificate of the join before.
func (a *agent) nodeClient() (*corev1client.CoreV1Client, error) {
	identity := join.Identity(a.options.Paths)
	if a.client != nil && a.clientIdentity == identity {
		return a.client, nil
	}
	c, err := clientcmd.BuildConfigFromFlags("", a.options.Paths.KubeletConfig())
	if err != nil {
		return nil, fmt.Errorf("read kubelet's credentials: %w", err)
	}
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c.UserAgent = "joinery-agent"
	c.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	client, err := corev1client.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make client of the API server: %w", err)
	}
	a.client, a.clientIdentity = client, identity
	return client, nil
}

// guardOf returns what guards the Node of that UID, going on with what it has
// seen: a certificate may be refused for longer than one attempt lasts.
func (a *agent) guardOf(n join.Node, uid string) *join.Guard {
	if a.guard == nil || a.guard.Name != n.Name || a.guard.UID != uid {
		a.guard = &join.Guard{Name: n.Name, UID: uid, Ended: func() bool {
			return join.Joined(a.options.Paths, n.Name, time.Now()) != nil
		}}
	}
	return a.guard
}

func (a *agent) verify(ctx context.Context, n join.Node, uid string) (string, error) {
	client, err := a.nodeClient()
	if err != nil {
		return "", err
	}
	return join.Verify(ctx, client.Nodes(), a.units, n, a.guardOf(n, uid))
}

// lookTime bounds the look at the Node at the start of a boot, which the kubelet
// waits for: long enough to be certain that it is gone.
const lookTime = 15 * time.Second

func (a *agent) look(ctx context.Context, name, uid string) *join.LostError {
	client, err := a.nodeClient()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return join.Look(ctx, client.Nodes(), a.guardOf(join.Node{Name: name}, uid))
}

func (a *agent) kept(ctx context.Context, n join.Node, uid string) bool {
	client, err := a.nodeClient()
	if err != nil {
		return false
	}
	node, err := client.Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	return err == nil && string(node.UID) == uid
}

func (a *agent) report(ctx context.Context, n join.Node) error {
	client, err := a.nodeClient()
	if err != nil {
		return err
	}
	holds := func(ctx context.Context) (report.Holds, error) { return report.ReadHolds(ctx, a.bus, a.options.Holds) }
	a.publisher = report.New(client, a.guardOf(n, a.state.NodeUID), holds, a.notifier, a.log)
	return a.publisher.First(ctx, a.nodeReport(n))
}
