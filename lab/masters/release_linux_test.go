package masters_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/debs"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/site"
)

// release is one version of all that Joinery is made of.
type release struct {
	debs debs.Set
	// manifests are what the release gives to the API server.
	manifests []byte
	// group has instances of an image with the release's agent, and size is how many.
	group string
	size  int
}

// mustRelease makes the release's image and its group, without an instance yet.
func (c *trio) mustRelease(group, imageID string, set debs.Set) *release {
	c.t.Helper()
	dir := c.t.TempDir()
	if err := image.Unpack(c.t.Context(), set["joinery"], dir); err != nil {
		c.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "usr/share/joinery/deploy/rbac/*.yaml"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("the package joinery has no manifests (%v)", err)
	}
	r := &release{debs: set, group: group}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			c.t.Fatal(err)
		}
		r.manifests = append(append(r.manifests, "---\n"...), text...)
	}
	if err := c.AddImage(c.t.Context(), imageID, set["joinery-agent"]); err != nil {
		c.t.Fatal(err)
	}
	c.mustTemplate(group, imageID)
	c.mustSize(group, 0)
	return r
}

// mustApply gives the release's manifests to the API server.
func (c *trio) mustApply(r *release) {
	c.t.Helper()
	if _, err := c.Cluster.Kubectl(c.t.Context(), r.manifests, "apply", "-f", "-"); err != nil {
		c.t.Fatal(err)
	}
}

// launch gives each group one more instance.
func (c *trio) launch(releases ...*release) {
	c.t.Helper()
	for _, r := range releases {
		r.size++
		c.mustSize(r.group, r.size)
	}
}

// settings are the files that operators change, with what is in them.
const settings = "sha256sum /etc/joinery/controller.yaml /etc/joinery/controller.env"

// mustExchange installs the release on m, and looks whether it runs there with the
// operator's settings.
func (c *trio) mustExchange(m cluster.Master, to *release) {
	c.t.Helper()
	before, begin := c.mustExec(m, "sh", "-c", settings), time.Now()
	for _, name := range []string{"joinery-controller", "joinery"} {
		if err := m.InstallPackage(c.t.Context(), to.debs[name]); err != nil {
			c.t.Fatal(err)
		}
		out, err := exec.CommandContext(c.t.Context(), "dpkg-deb", "--field", to.debs[name], "Version").Output()
		if err != nil {
			c.t.Fatal(err)
		}
		if got, want := c.mustExec(m, "dpkg-query", "--show", "--showformat=${Status} ${Version}", name), "install ok installed "+strings.TrimSpace(string(out)); got != want {
			c.t.Fatalf("%s on %s: %q, want %q", name, m.NodeName, got, want)
		}
	}
	c.t.Logf("%s has the packages of %s after %.1f s", m.NodeName, to.group, time.Since(begin).Seconds())
	if after := c.mustExec(m, "sh", "-c", settings); after != before {
		c.t.Errorf("settings on %s: %s\nbefore: %s", m.NodeName, after, before)
	}
	c.await("the package's own program runs on "+m.NodeName, patience, func(ctx context.Context) (string, bool) {
		const shell = "readlink /proc/$(systemctl show --value --property MainPID " + site.ControllerUnit + ")/exe; systemctl is-enabled " + site.ControllerUnit +
			"; systemctl is-active joinery-credentials.timer; systemctl show --value --property FragmentPath " + site.ControllerUnit
		out, err := m.Machine.Exec(ctx, "sh", "-c", shell)
		want := "/usr/bin/joinery-controller\nenabled\nactive\n/lib/systemd/system/" + site.ControllerUnit + "\n"
		return fmt.Sprintf("%s (%v)", out, err), string(out) == want
	})
}

// awaitNodes waits until each instance of the releases' groups is a Ready Node.
func (c *trio) awaitNodes(releases ...*release) {
	c.t.Helper()
	begin, want := time.Now(), 0
	for _, r := range releases {
		want += r.size
	}
	c.await("all instances are Ready nodes", patience, func(ctx context.Context) (string, bool) {
		instances := c.instances(releases)
		for _, i := range instances {
			node, err := c.Cluster.Client().CoreV1().Nodes().Get(ctx, i.PrivateDNSName, metav1.GetOptions{})
			if err != nil || !ready(node) || node.Spec.ProviderID != fmt.Sprintf("aws:///%s/%s", i.Zone, i.ID) {
				return fmt.Sprintf("%s of group %s is no Ready node (%v)", i.PrivateDNSName, i.Group, err), false
			}
		}
		return fmt.Sprintf("%d instances", len(instances)), len(instances) == want
	})
	c.t.Logf("all %d instances are nodes after another %.1f s", want, time.Since(begin).Seconds())
}

// instances are those that the releases' groups have or had.
func (c *trio) instances(releases []*release) []awssim.Instance {
	var out []awssim.Instance
	for _, i := range c.World.Instances() {
		if slices.ContainsFunc(releases, func(r *release) bool { return r.group == i.Group }) {
			out = append(out, i)
		}
	}
	return out
}

// failedStage is the agent's log line of an attempt to join that failed.
var failedStage = regexp.MustCompile(`(?m)^.*stage failed.*stage"?[=:]"?(certificate|join|verify)\b.*$`)

// checkJoins looks for what a join that went well the first time does not leave behind.
func (c *trio) checkJoins(releases ...*release) {
	c.t.Helper()
	want := map[string]int{}
	for _, r := range releases {
		want[r.group] = r.size
	}
	for _, i := range c.instances(releases) {
		want[i.Group]--
		if i.State != awssim.Running {
			c.t.Errorf("%s of group %s is %s", i.ID, i.Group, i.State)
			continue
		}
		m, ok := c.Host.Machine(i.ID)
		if !ok {
			c.t.Fatalf("%s has no machine", i.ID)
		}
		journal, err := m.Exec(c.t.Context(), "journalctl", "--unit=joinery-agent", "--output=cat", "--no-pager")
		if err != nil || !bytes.Contains(journal, []byte("run kubeadm")) {
			c.t.Errorf("%s of group %s: the agent's journal has no join (%v):\n%s", i.ID, i.Group, err, journal)
		}
		for _, line := range failedStage.FindAll(journal, -1) {
			c.t.Errorf("%s of group %s: %s", i.ID, i.Group, line)
		}
	}
	for group, left := range want {
		if left != 0 {
			c.t.Errorf("group %s launched %d instances more than were asked for", group, -left)
		}
	}
	requests, err := c.Cluster.Client().CertificatesV1().CertificateSigningRequests().List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range requests.Items {
		for _, condition := range r.Status.Conditions {
			if condition.Type != certificatesv1.CertificateApproved {
				c.t.Errorf("request %s of %s: %s: %s", r.Name, r.Spec.Username, condition.Type, condition.Message)
			}
		}
	}
}
