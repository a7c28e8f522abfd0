package join

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	certificatesclient "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/agent/atomicfile"
	"github.com/joinery/joinery/api/v1alpha1"
)

// How long one certificate request is waited for. The first one is soon followed by
// another, with a new proof and the same key: under a storm the approver looks at
// the newest request of an instance first. Each time the wait is doubled, so that
// a fleet that waits for a controller does not fill the API server with requests,
// up to decisionWait: long enough for a change of the controller's leader, and short of the
// least life that a usable token has, with which the answer is read.
const (
	firstWait    = 30 * time.Second
	decisionWait = 4 * time.Minute
)

// MachineError says that the machine does not fulfil a requirement that kubeadm
// checks with token discovery only.
type MachineError struct{ Detail string }

// Error says what is required.
func (e *MachineError) Error() string { return "preflight: " + e.Detail }

// Slow says that to try again soon is of no use.
func (e *MachineError) Slow() bool { return true }

// Joiner joins this machine. Its exported fields must be set.
type Joiner struct {
	Paths  Paths
	Units  unitDriver
	Prover Prover
	Log    *slog.Logger

	undecided int // requests in a row that were not decided in time
}

// Joined says why the machine does not hold the identity of that name, or nil.
func (j *Joiner) Joined(nodeName string) error { return Joined(j.Paths, nodeName, time.Now()) }

// Reset makes the machine as if it had never been a node.
func (j *Joiner) Reset(ctx context.Context) error { return Reset(ctx, j.Units, j.Paths) }

// Identity returns a name for the key that the kubelet acts with; empty for none.
func (j *Joiner) Identity() string { return Identity(j.Paths) }

// Leave stops the kubelet of a machine that lost its Node, and keeps a reboot from
// starting it: a kubelet that starts makes a Node again, with credentials that no
// proof stands behind. Containers go on. The credentials stay until there are
// new ones, see Join.
func (j *Joiner) Leave(ctx context.Context) error {
	if err := j.Units.Disable(ctx, KubeletUnit); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if err := j.Units.Stop(ctx, KubeletUnit); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// Configure checks the machine and writes what kubeadm is run with but for the
// credentials. It may be called again.
func (j *Joiner) Configure(n Node) error {
	if err := checkForwarding(j.Paths.IPForward); err != nil {
		return err
	}
	config, err := JoinConfiguration(j.Paths, n)
	if err != nil {
		return err
	}
	patch, err := KubeletPatch(n.Spec.Kubelet)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(j.Paths.kubeletPatch(), patch); err != nil {
		return err
	}
	return atomicfile.Write(j.Paths.joinConfig(), config)
}

// Request asks the cluster for a certificate of the node's name, with the
// bundle's token and a new proof. Errors are those of RequestCertificate, and
// *ClockError when this machine's clock is too wrong to prove anything.
func (j *Joiner) Request(ctx context.Context, n Node, b *v1alpha1.JoinBundle) (Certificate, error) {
	config := restConfig(b)
	dates := readDates(config)
	client, err := certificatesclient.NewForConfig(config)
	if err != nil {
		return Certificate{}, fmt.Errorf("make client of %s: %w", b.Endpoint, err)
	}
	if err := checkClock(ctx, client.RESTClient(), dates); err != nil {
		return Certificate{}, err
	}
	key, err := ownKey(j.Paths.key())
	if err != nil {
		return Certificate{}, err
	}
	cert, err := RequestCertificate(ctx, client.CertificateSigningRequests(),
		Request{Cluster: b.Cluster, Node: n.Name, Key: key, Prover: j.Prover}, min(firstWait<<min(j.undecided, 10), decisionWait))
	doubt(j.Prover, err)
	var pending *PendingError
	if errors.As(err, &pending) {
		j.undecided++
	} else {
		j.undecided = 0
	}
	return cert, err
}

// Join runs kubeadm with a certificate; the machine must be configured and not
// joined yet. Whatever an earlier attempt left is removed first, and afterwards
// whatever was secret.
func (j *Joiner) Join(ctx context.Context, b *v1alpha1.JoinBundle, c Certificate) (err error) {
	if err := clean(ctx, j.Units, j.Paths); err != nil {
		return err
	}
	discovery, err := DiscoveryConfig(b, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeSecrets(j.Paths)) }()
	if err := atomicfile.Write(j.Paths.discovery(), discovery); err != nil {
		return err
	}
	return runKubeadm(ctx, j.Log, j.Paths.Kubeadm, j.Paths.joinConfig())
}

// EnsureKubelet makes the kubelet of a joined machine run, now and after every
// boot: kubeadm starts it and enables nothing. With restart it is started anew.
func (j *Joiner) EnsureKubelet(ctx context.Context, restart bool) error {
	// A crash right after kubeadm was done would have left them for good.
	if err := removeSecrets(j.Paths); err != nil {
		return err
	}
	// Until now a failed join may have been tried again with the same key.
	if err := remove(j.Paths.key()); err != nil {
		return fmt.Errorf("remove join secrets: %w", err)
	}
	if err := j.Units.Enable(ctx, KubeletUnit); err != nil {
		return err
	}
	if restart {
		if err := j.Units.Stop(ctx, KubeletUnit); err != nil {
			return err
		}
	}
	return j.Units.Start(ctx, KubeletUnit)
}

// restConfig trusts the bundle's CA and nothing else, and sends its token
// nowhere but to the bundle's endpoint.
func restConfig(b *v1alpha1.JoinBundle) *rest.Config {
	c := &rest.Config{
		Host: "https://" + b.Endpoint, BearerToken: b.Token.Reveal(),
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(b.CACert)},
		UserAgent:       "joinery-agent",
	}
	c.ContentType = "application/vnd.kubernetes.protobuf"
	return c
}

// checkForwarding stands in for kubeadm, which leaves it out with file
// discovery: without forwarding pods of this node reach nobody.
func checkForwarding(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return &MachineError{fmt.Sprintf("read net.ipv4.ip_forward: %v", err)}
	}
	if v := strings.TrimSpace(string(data)); v != "1" {
		return &MachineError{fmt.Sprintf("net.ipv4.ip_forward is %s: expected 1 (set it in the image, in /etc/sysctl.d)", v)}
	}
	return nil
}
