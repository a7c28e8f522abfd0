package masters_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/balancer"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/site"
)

const (
	// The election's timings (controlplane/leader). A candidate looks again after
	// up to 2.2 retry periods (client-go's JitterFactor).
	leaseDuration = 10 * time.Second
	lookAgain     = 2200 * time.Millisecond
	// slack is for two cores that run three control planes.
	slack = 3 * time.Second
	// takeover is how long after a leader's death another leads at the latest: a
	// candidate sees the last renewal up to one look late, counts the Lease's
	// duration from there, and may look again only one look after its end.
	takeover = leaseDuration + 2*lookAgain + slack
	// patience is for what has no limit of its own.
	patience = 90 * time.Second
)

// trio is the cluster as one test sees it.
type trio struct {
	*site.Site
	t *testing.T
}

// await looks until look says that all is well, and fails the test with what
// was seen last after limit.
func (c *trio) await(what string, limit time.Duration, look func(context.Context) (seen string, ok bool)) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begin, last := time.Now(), ""
	for {
		asking, done := context.WithTimeout(ctx, 5*time.Second) // a connection to a dead master must not use up the limit
		seen, ok := look(asking)
		done()
		if ok {
			return
		}
		if seen != last {
			c.t.Logf("%5.1f s: %s", time.Since(begin).Seconds(), seen)
			last = seen
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("%s: not within %s: %s", what, limit, seen)
		case <-tick.C:
		}
	}
}

// awaitCalm waits until every master is Ready, in the balancer's rotation and
// runs a controller, and one of these leads and says so.
func (c *trio) awaitCalm() {
	c.t.Helper()
	c.await("three healthy masters", patience, func(ctx context.Context) (string, bool) {
		for address, state := range c.Balancer.Targets() {
			if state != balancer.Healthy {
				return fmt.Sprintf("%s is %s", address, state), false
			}
		}
		for _, m := range c.Cluster.Masters() {
			if node, err := c.Cluster.Client().CoreV1().Nodes().Get(ctx, m.NodeName, metav1.GetOptions{}); err != nil || !ready(node) {
				return fmt.Sprintf("node %s is not Ready (%v)", m.NodeName, err), false
			}
			if body, err := c.Ask(ctx, m, "/readyz"); err != nil {
				return fmt.Sprintf("controller on %s: %v %s", m.NodeName, err, body), false
			}
		}
		return c.oneLeads(ctx)
	})
}

// oneLeads says whether the Lease's holder, and nobody else, thinks that it leads.
func (c *trio) oneLeads(ctx context.Context) (seen string, ok bool) {
	holder, _, err := c.Leader(ctx)
	if err != nil {
		return err.Error(), false
	}
	for _, m := range c.Cluster.Masters() {
		leads, err := c.Leads(ctx, m)
		if err != nil {
			return err.Error(), false
		}
		if leads != (m.NodeName == holder.NodeName) {
			return fmt.Sprintf("%s leads: %t; the Lease is held by %s", m.NodeName, leads, holder.NodeName), false
		}
	}
	return "", true
}

// mustLeader is leader in a calm cluster.
func (c *trio) mustLeader() (cluster.Master, *coordinationv1.Lease) {
	c.t.Helper()
	m, lease, err := c.Leader(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return m, lease
}

// awaitTakeover waits until another process than old's holds the Lease and
// returns its master and the Lease.
func (c *trio) awaitTakeover(old *coordinationv1.Lease, limit time.Duration) (cluster.Master, *coordinationv1.Lease) {
	c.t.Helper()
	var m cluster.Master
	var lease *coordinationv1.Lease
	c.await("another leads", limit, func(ctx context.Context) (string, bool) {
		var err error
		if m, lease, err = c.Leader(ctx); err != nil {
			return err.Error(), false
		}
		return "the Lease is held by " + site.Holder(lease), site.Holder(lease) != site.Holder(old)
	})
	c.t.Logf("%s leads %.1f s after its predecessor's last renewal", m.NodeName, lease.Spec.AcquireTime.Sub(old.Spec.RenewTime.Time).Seconds())
	return m, lease
}

// bundle reads what a booting instance would join with.
func (c *trio) bundle(ctx context.Context) (*v1alpha1.JoinBundle, error) {
	out, err := ssm.NewFromConfig(c.World.Config(awssim.Oracle)).GetParameter(ctx, &ssm.GetParameterInput{
		Name: aws.String(v1alpha1.ParameterName(clusterName)), WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return v1alpha1.DecodeJoinBundle([]byte(aws.ToString(out.Parameter.Value)))
}

// liveToken returns the id of the published token, which the cluster must know
// and which must have life in it.
func (c *trio) liveToken(ctx context.Context) (string, error) {
	b, err := c.bundle(ctx)
	if err != nil {
		return "", err
	}
	if left := time.Until(b.ExpiresAt); left < v1alpha1.MinBundleLife {
		return "", fmt.Errorf("the published token has %s left", left)
	}
	if want := cluster.Endpoint(cluster.BalancerIP); b.Endpoint != want {
		return "", fmt.Errorf("the bundle names the endpoint %s, not %s", b.Endpoint, want)
	}
	_, err = c.Cluster.Client().CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, "bootstrap-token-"+b.TokenID(), metav1.GetOptions{})
	return b.TokenID(), err
}

// mustLiveToken waits for a live token: a read may hit a dead master's connection.
func (c *trio) mustLiveToken() (id string) {
	c.t.Helper()
	c.await("SSM holds a live token", 20*time.Second, func(ctx context.Context) (string, bool) {
		var err error
		if id, err = c.liveToken(ctx); err != nil {
			return err.Error(), false
		}
		return "", true
	})
	return id
}

// mustRotate asks the leader for a rotation, as an operator does, and waits for
// the new token.
func (c *trio) mustRotate(m cluster.Master) {
	c.t.Helper()
	before := c.mustLiveToken()
	c.await(m.NodeName+" knows that it leads", 20*time.Second, func(ctx context.Context) (string, bool) {
		ok, err := c.Leads(ctx, m)
		return fmt.Sprint(err), ok
	})
	c.mustExec(m, "systemctl", "reload", site.ControllerUnit)
	c.await("a rotation", patience, func(ctx context.Context) (string, bool) {
		id, err := c.liveToken(ctx)
		return fmt.Sprintf("the token is %s (%v)", id, err), err == nil && id != before
	})
	if puts := c.puts(m); len(puts) == 0 {
		c.t.Errorf("%s leads, and somebody else rotated", m.NodeName)
	}
}

// puts are the writes of the bundle that the controller on m has made.
func (c *trio) puts(m cluster.Master) []awssim.Call {
	var out []awssim.Call
	for _, call := range c.World.CallsTo("ssm", "PutParameter") {
		if call.Session == m.Machine.ID() {
			out = append(out, call)
		}
	}
	return out
}

func (c *trio) mustExec(m cluster.Master, args ...string) string {
	c.t.Helper()
	out, err := m.Machine.Exec(c.t.Context(), args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// pid is the controller's process on m, "0" between two.
func (c *trio) pid(ctx context.Context, m cluster.Master) (string, error) {
	out, err := m.Machine.Exec(ctx, "systemctl", "show", "--property=MainPID", "--value", site.ControllerUnit)
	return strings.TrimSpace(string(out)), err
}

// bootID tells one boot of a master from another.
func (c *trio) bootID(m cluster.Master) string {
	c.t.Helper()
	node, err := c.Cluster.Client().CoreV1().Nodes().Get(c.t.Context(), m.NodeName, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return node.Status.NodeInfo.BootID
}

// awaitBoot waits until m is Ready in another boot than old.
func (c *trio) awaitBoot(m cluster.Master, old string) {
	c.t.Helper()
	begin := time.Now()
	c.await(m.NodeName+" is back", patience, func(ctx context.Context) (string, bool) {
		node, err := c.Cluster.Client().CoreV1().Nodes().Get(ctx, m.NodeName, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprintf("boot %s, Ready %t", node.Status.NodeInfo.BootID, ready(node)), node.Status.NodeInfo.BootID != old && ready(node)
	})
	c.t.Logf("%s is Ready again after %.1f s", m.NodeName, time.Since(begin).Seconds())
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
