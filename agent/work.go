package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
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
	joiner := &join.Joiner{Paths: a.options.Paths, Units: a.units, Prover: &a.aws, Log: a.log}
	return &boot.Work{
		Metadata: a.metadata, Membership: joiner, Joiner: joiner,
		SetHostname: a.bus.SetHostname, Quiet: a.units.Quiet, Fetch: a.aws.fetch,
		Verify: a.verify, Report: a.report, Ready: a.notifier.Ready, Save: save,
		State: a.state, BootID: a.bootID, Log: a.log,
	}
}

// account is what the node does with AWS, by the role of its instance: it reads
// one parameter, and signs. The clients are made when they are first needed: a
// node that is joined needs none.
type account struct {
	parameters *ssm.Client
	signer     *proof.Signer
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
	c.parameters, c.signer = ssm.NewFromConfig(loaded), proof.NewSigner(loaded)
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
	return c.signer.Prove(ctx, cluster, request)
}

// nodeClient acts as the kubelet, by the certificate that the kubelet renews;
// the file is read again when it changes.
func (a *agent) nodeClient() (*corev1client.CoreV1Client, error) {
	c, err := clientcmd.BuildConfigFromFlags("", a.options.Paths.KubeletConfig())
	if err != nil {
		return nil, fmt.Errorf("read kubelet's credentials: %w", err)
	}
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c.UserAgent = "joinery-agent"
	client, err := corev1client.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make client of the API server: %w", err)
	}
	return client, nil
}

func (a *agent) verify(ctx context.Context, n join.Node) error {
	client, err := a.nodeClient()
	if err != nil {
		return err
	}
	return join.Verify(ctx, client.Nodes(), a.units, n)
}

func (a *agent) report(ctx context.Context, n join.Node) error {
	client, err := a.nodeClient()
	if err != nil {
		return err
	}
	holds := func(ctx context.Context) (report.Holds, error) { return report.ReadHolds(ctx, a.bus, a.options.Holds) }
	a.publisher = report.New(client, n.Name, holds, a.notifier, a.log)
	return a.publisher.First(ctx, a.nodeReport(n))
}
