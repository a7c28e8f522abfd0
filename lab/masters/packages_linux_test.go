package masters_test

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/debs"
	"github.com/joinery/joinery/lab/labtest"
)

// TestMastersGoBackAndAreUpgraded has the masters go back to an earlier release and be
// upgraded from it, one after another, as the guide says. Meanwhile instances of images
// with either agent boot, and tokens are rotated: controllers of both releases lead,
// decide about agents of both and publish bundles for both. Each instance becomes a
// node at its first attempt.
func TestMastersGoBackAndAreUpgraded(t *testing.T) {
	c := open(t)
	set, err := labtest.Kit(t).EarlierPackages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	earlier := c.mustRelease("earlier", "ami-0a1b2c3d4e5f60001", set)
	current := c.mustRelease("current", "ami-0a1b2c3d4e5f60002", c.Packages())

	c.exchangeAll(earlier, earlier, current)
	c.mustApply(earlier)
	c.awaitCalm()

	c.mustApply(current) // the later manifests first: they allow what either needs
	c.exchangeAll(current, earlier, current)

	c.checkJoins(earlier, current)
	if is, was := c.agentVersion(current), c.agentVersion(earlier); is != debs.Version || was == is {
		t.Errorf("agents %s of this tree and %s of the earlier commit run: expected %s and another", is, was, debs.Version)
	}
}

// exchangeAll installs the release on one master after another, while an instance of each
// image boots.
func (c *trio) exchangeAll(to *release, images ...*release) {
	c.t.Helper()
	for _, m := range c.Cluster.Masters() {
		c.launch(images...)
		c.mustExchange(m, to)
		c.t.Log(c.mustExec(m, "env", "KUBECONFIG=/etc/kubernetes/admin.conf", "joinery", "token", "rotate"))
		c.awaitNodes(images...)
		c.awaitCalm()
	}
}

// agentVersion is that of the agent that runs on the release's instances.
func (c *trio) agentVersion(r *release) string {
	c.t.Helper()
	m, ok := c.Host.Machine(c.instances([]*release{r})[0].ID)
	if !ok {
		c.t.Fatalf("no machine of group %s", r.group)
	}
	out, err := m.Exec(c.t.Context(), "sh", "-c", "/proc/$(systemctl show --value --property MainPID joinery-agent)/exe version")
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
