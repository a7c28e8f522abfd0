package awsfleet_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/lab/awssim"
)

// clocked is a Reader whose clock stands still but for the test.
type clocked struct {
	*awsfleet.Reader
	aws *awssim.World
	now time.Time
}

func newClocked(t *testing.T) *clocked {
	c := &clocked{aws: &awssim.World{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	t.Cleanup(c.aws.Close)
	cfg := c.aws.Config("controller")
	c.Reader = awsfleet.New(awsfleet.Options{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), Scope: fleet.Scope{Cluster: "demo"}, Now: func() time.Time { return c.now }})
	return c
}

// calls returns how many calls to an action f makes.
func (c *clocked) calls(service, action string, f func()) int {
	before := len(c.aws.CallsTo(service, action))
	f()
	return len(c.aws.CallsTo(service, action)) - before
}

func TestGroupsAreShared(t *testing.T) {
	c := newClocked(t)
	look := func(maxAge time.Duration) func() {
		return func() {
			if _, _, err := c.Groups(t.Context(), maxAge); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		name  string
		after time.Duration
		do    func()
		want  int
	}{
		{"first", 0, look(time.Hour), 1},
		{"known", 0, look(time.Hour), 0},
		{"now, though the clock stands still", 0, look(0), 1},
		{"young enough", 59 * time.Second, look(time.Minute), 0},
		{"too old", time.Second, look(time.Minute), 1},
		{"by name", 0, func() {
			if g, err := c.Group(t.Context(), "none", time.Minute); g != nil || err != nil {
				t.Errorf("%v, %v", g, err)
			}
		}, 1},
		{"after an own write", 0, func() { c.Changed(); look(time.Hour)() }, 1},
	} {
		c.now = c.now.Add(step.after)
		if n := c.calls("autoscaling", "DescribeAutoScalingGroups", step.do); n != step.want {
			t.Errorf("%s: %d calls: expected %d", step.name, n, step.want)
		}
	}
}

func TestEvidence(t *testing.T) {
	c := newClocked(t)
	var q binding.Questions
	for range 3 {
		i, err := c.aws.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
		if err != nil {
			t.Fatal(err)
		}
		q.IDs = append(q.IDs, i.ID)
	}
	byIP, err := c.aws.AddInstance(awssim.InstanceSpec{})
	if err != nil {
		t.Fatal(err)
	}
	q.IPs = []netip.Addr{netip.MustParseAddr(byIP.PrivateIP)}
	ask := func(maxAge time.Duration) (e binding.Evidence, calls int) {
		t.Helper()
		calls = c.calls("ec2", "DescribeInstances", func() {
			if e, err = c.Evidence(t.Context(), q, maxAge); err != nil {
				t.Fatal(err)
			}
		})
		return e, calls
	}
	if e, n := ask(time.Minute); n != 2 || len(e.Instances) != 4 || !e.Asked[byIP.PrivateIP] || !e.Asked[q.IDs[0]] {
		t.Errorf("first: %d calls, %+v", n, e)
	}
	c.now = c.now.Add(40 * time.Second)
	if e, n := ask(time.Minute); n != 0 || len(e.Instances) != 4 {
		t.Errorf("known: %d calls, %+v", n, e)
	}
	if _, n := ask(0); n != 2 {
		t.Errorf("now: %d calls", n)
	}
	// What was sighted by an address is what was seen last of that instance.
	c.now = c.now.Add(time.Second)
	c.aws.Terminate(byIP.ID)
	c.aws.Settle()
	if _, err := c.ByID(t.Context(), byIP.ID); err != nil {
		t.Fatal(err)
	}
	if e, n := ask(time.Minute); n != 0 || !e.Instances[byIP.ID].Going() {
		t.Errorf("after its end: %d calls, %+v", n, e.Instances[byIP.ID])
	}
	c.Changed(q.IDs[0])
	if _, n := ask(time.Minute); n != 1 {
		t.Errorf("after an own write: %d calls", n)
	}
}

// What EC2 does not show is asked for again soon, and then less and less often.
func TestEvidenceOfWhatDoesNotShow(t *testing.T) {
	c := newClocked(t)
	q := binding.Questions{IDs: []string{"i-0123456789abcdef0"}}
	asked := 0
	for range 3600 {
		asked += c.calls("ec2", "DescribeInstances", func() {
			e, err := c.Evidence(t.Context(), q, 5*time.Minute)
			if err != nil || len(e.Instances) != 0 || !e.Asked[q.IDs[0]] {
				t.Fatalf("%+v, %v", e, err)
			}
		})
		c.now = c.now.Add(time.Second)
	}
	if asked < 12 || asked > 25 {
		t.Errorf("asked %d times in an hour", asked)
	}
}

func TestPrimaryAddresses(t *testing.T) {
	c := newClocked(t)
	i, err := c.aws.AddInstance(awssim.InstanceSpec{
		SecondaryIPs: []string{"10.99.0.201"}, IPv6: []string{"fd00::1"}, Interfaces: []awssim.InterfaceSpec{{IPv6: []string{"fd00::2"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.ByID(t.Context(), i.ID)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	want := []netip.Addr{netip.MustParseAddr(i.PrivateIP), netip.MustParseAddr("fd00::1")}
	if got := found[0].PrimaryAddresses; len(got) != 2 || got[0] != want[0] || got[1] != want[1] || len(found[0].Addresses) != 5 {
		t.Errorf("primary %v of %v: expected %v", got, found[0].Addresses, want)
	}
}
