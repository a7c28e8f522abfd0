package adopt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/adopt"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// actions maps Nodes to what becomes of them.
func actions(lines []adopt.Line) map[string]adopt.Action {
	out := map[string]adopt.Action{}
	for _, l := range lines {
		out[l.Node] = l.Action
	}
	return out
}

func (c *cluster) options() adopt.Options {
	return adopt.Options{Client: c.Client, Fleet: c.fleet(), Rules: c.policy.Rules()}
}

func (c *cluster) records(t *testing.T) map[string]string {
	t.Helper()
	cm, err := c.Client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), binder.RecordsName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return cm.Data
}

func withCluster(t *testing.T, test func(*testing.T, *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		bubble.Sleep(time.Minute)
		test(t, c)
	})
}

func TestAdoptRefusesWhatEC2Contradicts(t *testing.T) {
	withCluster(t, func(t *testing.T, c *cluster) {
		victim, err := c.AddInstance(awssim.InstanceSpec{})
		if err != nil {
			t.Fatal(err)
		}
		gone, err := c.AddInstance(awssim.InstanceSpec{})
		if err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		c.Terminate(gone.ID)
		bubble.Sleep(time.Minute)
		const liar = "ip-10-99-200-200.us-west-2.compute.internal"
		c.create(t, liar, "aws:///us-west-2a/"+victim.ID, []string{victim.PrivateIP})
		c.create(t, "liar-elsewhere", "aws:///us-west-2a/"+victim.ID, []string{"10.99.200.201"})
		c.create(t, "dead", "aws:///us-west-2a/"+gone.ID, []string{gone.PrivateIP})
		c.create(t, "foreign-account", "aws:///us-west-2a/i-00000000000000001", []string{"198.51.100.7"})
		c.create(t, "ip-10-99-200-202.us-west-2.compute.internal", "", []string{"10.99.200.202"})
		lines, err := adopt.Run(t.Context(), c.options(), adopt.Wish{All: true})
		if err != nil || adopt.Complete(lines) {
			t.Fatalf("%+v, %v", lines, err)
		}
		got := actions(lines)
		for _, name := range []string{liar, "liar-elsewhere", "dead", "foreign-account", "ip-10-99-200-202.us-west-2.compute.internal"} {
			if got[name] != adopt.Refused || c.records(t)[name] != "" {
				t.Errorf("%s is %s, recorded as %q", name, got[name], c.records(t)[name])
			}
		}
		if len(c.records(t)) != 7 {
			t.Errorf("recorded %q", slices.Sorted(maps.Keys(c.records(t))))
		}
		// What EC2 does not know is adopted if it is named, a lie by force alone.
		got = actions(must(adopt.Run(t.Context(), c.options(), adopt.Wish{Names: []string{liar, "foreign-account", "nowhere"}}))(t))
		if got[liar] != adopt.Refused || got["foreign-account"] != adopt.Adopted || got["nowhere"] != adopt.Missing || len(got) != 3 {
			t.Errorf("by name: %v", got)
		}
		got = actions(must(adopt.Run(t.Context(), c.options(), adopt.Wish{Names: []string{liar}, Force: true}))(t))
		if got[liar] != adopt.Adopted {
			t.Errorf("by force: %v", got)
		}
	})
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Two Nodes cannot be one instance, whichever of them is honest.
func TestAdoptRefusesTwins(t *testing.T) {
	withCluster(t, func(t *testing.T, c *cluster) {
		i, err := c.AddInstance(awssim.InstanceSpec{})
		if err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		c.create(t, "twin-1", "aws:///us-west-2a/"+i.ID, []string{i.PrivateIP})
		if got := actions(must(adopt.Run(t.Context(), c.options(), adopt.Wish{All: true}))(t)); got["twin-1"] != adopt.Adopted {
			t.Errorf("%v", got)
		}
		c.create(t, "twin-2", "aws://us-west-2a/"+i.ID, []string{i.PrivateIP})
		if got := actions(must(adopt.Run(t.Context(), c.options(), adopt.Wish{All: true}))(t)); got["twin-2"] != adopt.Refused || got["twin-1"] != adopt.Kept {
			t.Errorf("%v", got)
		}
	})
}

func TestAdoptionIsRepeatable(t *testing.T) {
	withCluster(t, func(t *testing.T, c *cluster) {
		dry := c.options()
		dry.DryRun = true
		if lines := must(adopt.Run(t.Context(), dry, adopt.Wish{All: true}))(t); len(lines) != 7 || c.records(t) != nil {
			t.Errorf("a dry run of %d nodes wrote %v", len(lines), c.records(t))
		}
		must(adopt.Run(t.Context(), c.options(), adopt.Wish{All: true}))(t)
		before := maps.Clone(c.records(t))
		for node, action := range actions(must(adopt.Run(t.Context(), c.options(), adopt.Wish{All: true}))(t)) {
			if action != adopt.Kept {
				t.Errorf("%s: %s the second time", node, action)
			}
		}
		if !maps.Equal(before, c.records(t)) {
			t.Errorf("records changed: %v", c.records(t))
		}
		if got := before["on-premises"]; got != `{"uid":"uid of on-premises","addresses":["192.0.2.7","on-premises"]}` {
			t.Errorf("record of a node without an instance: %s", got)
		}
		got := actions(must(adopt.Remove(t.Context(), c.options(), []string{"on-premises", "nowhere"}))(t))
		if got["on-premises"] != adopt.Removed || got["nowhere"] != adopt.Missing || len(c.records(t)) != 6 {
			t.Errorf("%v, left %v", got, c.records(t))
		}
	})
}

// A Node that joined needs no record; a label of another UID is none.
func TestAdmittedNodesNeedNoRecord(t *testing.T) {
	withCluster(t, func(t *testing.T, c *cluster) {
		for name, uid := range map[string]string{"control-1": "uid of control-1", "control-2": "uid of the one before"} {
			n := must(c.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{}))(t)
			n.Labels[binding.AdmittedLabel] = uid
			must(c.Client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}))(t)
		}
		got := actions(must(adopt.Run(t.Context(), c.options(), adopt.Wish{All: true}))(t))
		if got["control-1"] != adopt.Unneeded || got["control-2"] != adopt.Adopted {
			t.Errorf("%v", got)
		}
	})
}

// On a computer without AWS credentials, what Nodes say is recorded.
func TestAdoptWithoutAWS(t *testing.T) {
	withCluster(t, func(t *testing.T, c *cluster) {
		c.ForgetCalls()
		lines := must(adopt.Run(t.Context(), adopt.Options{Client: c.Client}, adopt.Wish{All: true}))(t)
		if !adopt.Complete(lines) || len(c.records(t)) != 7 || len(c.CallsTo("ec2", "DescribeInstances")) != 0 {
			t.Errorf("%+v", lines)
		}
		var r binding.Record
		if err := json.Unmarshal([]byte(c.records(t)["control-1"]), &r); err != nil || r.InEC2 || r.UID == "" || len(r.Addresses) != 2 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// What another operator writes at the same time is kept.
func TestAdoptionMeetsAnother(t *testing.T) {
	withCluster(t, func(t *testing.T, c *cluster) {
		must(adopt.Run(t.Context(), c.options(), adopt.Wish{Names: []string{"control-1"}}))(t)
		tries := 0
		c.Client.PrependReactor("update", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if tries++; tries > 1 {
				return false, nil, nil
			}
			cm := a.(clienttesting.UpdateAction).GetObject().(*corev1.ConfigMap).DeepCopy()
			delete(cm.Data, "control-2")
			cm.Data["theirs"] = `{"uid":"x"}`
			if err := c.Client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("configmaps"), cm, cm.Namespace); err != nil {
				t.Error(err)
			}
			return true, nil, apierrors.NewConflict(corev1.Resource("configmaps"), cm.Name, errors.New("changed"))
		})
		must(adopt.Run(t.Context(), c.options(), adopt.Wish{Names: []string{"control-2"}}))(t)
		if got := slices.Sorted(maps.Keys(c.records(t))); !slices.Equal(got, []string{"control-1", "control-2", "theirs"}) {
			t.Errorf("recorded %q", got)
		}
	})
}

func TestTable(t *testing.T) {
	lines := []adopt.Line{{Node: "a", Action: adopt.Adopted, Standing: binding.Bound, Message: "it is instance i-1"}, {Node: "b", Action: adopt.Missing, Message: "there is no such node"}}
	var text, object bytes.Buffer
	if err := errors.Join(adopt.WriteText(&text, lines), adopt.WriteJSON(&object, lines)); err != nil {
		t.Fatal(err)
	}
	if want := "NODE  ACTION   STANDING  WHY\na     adopted  Bound     it is instance i-1\nb     missing  -         there is no such node\n"; text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	if !strings.Contains(object.String(), `"action": "missing"`) {
		t.Errorf("got %s", &object)
	}
}
