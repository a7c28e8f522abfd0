package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/demo"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
)

// lines writes what the demo draws into the test's log, line by line.
type lines struct{ t *testing.T }

func (l lines) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// play runs the demo and returns the facts as they stand in demo.json, which
// must be what Run returned.
func play(ctx context.Context, t *testing.T, o demo.Options) (*demo.Facts, error) {
	t.Helper()
	labtest.Require(t)
	o.Out, o.Terminal = t.TempDir(), lines{t}
	_, err := demo.Run(ctx, o)
	data, rerr := os.ReadFile(filepath.Join(o.Out, "demo.json"))
	if rerr != nil {
		t.Fatalf("no facts: %v (the run said: %v)", rerr, err)
	}
	var f demo.Facts
	if uerr := json.Unmarshal(data, &f); uerr != nil {
		t.Fatal(uerr)
	}
	return &f, err
}

func TestStory(t *testing.T) {
	var requests []cluster.Request
	f, err := play(t.Context(), t, demo.Options{After: func(_ context.Context, s *site.Site) (err error) {
		requests, err = s.Cluster.ControllerRequests()
		return err
	}})
	if err != nil || !f.OK {
		t.Fatalf("ok %t: %v", f.OK, err)
	}
	checkPermissions(t, requests)
	if len(f.Steps) != 11 || slices.ContainsFunc(f.Steps, func(s demo.Step) bool { return !s.OK }) {
		t.Errorf("steps %+v", f.Steps)
	}
	if f.Nodes.Start != 1 || f.Nodes.Peak != 3 || f.Nodes.Final != 1 {
		t.Errorf("nodes %+v: expected 1, then 3 for ten pods of which four fit a node, then 1", f.Nodes)
	}
	if f.Pods.Wanted != 10 || f.Pods.Ran != 10 {
		t.Errorf("pods %+v", f.Pods)
	}
	if f.Tokens.Rotations != 1 || len(f.Tokens.IDs) != 2 {
		t.Errorf("tokens %+v", f.Tokens)
	}
	if l := f.Latency.PendingToDesiredSeconds; l <= 0 {
		t.Errorf("pending to desired: %v s", l)
	}
	if len(f.Latency.BootToReadySeconds) != 3 {
		t.Errorf("boot phases of %d nodes", len(f.Latency.BootToReadySeconds))
	}
	for node, phases := range f.Latency.BootToReadySeconds {
		for _, want := range []string{"total", "launchToAgent", "identity", "fetch", "join"} {
			if _, ok := phases[want]; !ok {
				t.Errorf("%s: no phase %q in %v", node, want, phases)
			}
		}
	}
}

// TestBrokenPartsAreSeen breaks one part at a time. The demo must fail, at the
// step that needs the part, and still leave nothing behind.
func TestBrokenPartsAreSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		before    string // step before which it is broken
		wreck     func(context.Context, *site.Site) error
		configure func(*v1alpha1.ControllerSpec)
		step      string // step that must fail
	}{
		"token":      {before: "first-node-joins", wreck: forgeToken, step: "first-node-joins"},
		"IMDS":       {before: "first-node-joins", wreck: loseIdentity, step: "first-node-joins"},
		"approver":   {before: "token-published", wreck: forbidApproval, step: "first-node-joins"},
		"autoscaler": {configure: func(s *v1alpha1.ControllerSpec) { s.Autoscaler.Disabled = true }, step: "pods-make-the-group-grow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of each run is waiting for what must not come
			f, err := play(t.Context(), t, demo.Options{Patience: 40 * time.Second, Configure: tc.configure,
				Before: func(ctx context.Context, step string, l *site.Site) error {
					if step != tc.before {
						return nil
					}
					return tc.wreck(ctx, l)
				}})
			if !errors.Is(err, demo.ErrNotObserved) || f.OK {
				t.Errorf("ok %t, error %v: expected the story to fail", f.OK, err)
			}
			var failed []string
			for _, s := range f.Steps {
				if !s.OK {
					failed = append(failed, s.Name)
				}
			}
			if !slices.Equal(failed, []string{tc.step}) {
				t.Errorf("failed steps %v: expected %s alone", failed, tc.step)
			}
		})
	}
}

// forgeToken publishes a token that the cluster does not know, and keeps the
// controller from mending it.
func forgeToken(ctx context.Context, l *site.Site) error {
	client := ssm.NewFromConfig(l.World.Config(awssim.Oracle))
	name := v1alpha1.ParameterName(demo.Cluster)
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return err
	}
	bundle, err := v1alpha1.DecodeJoinBundle([]byte(aws.ToString(out.Parameter.Value)))
	if err != nil {
		return err
	}
	l.World.Inject(awssim.Fault{Service: "ssm", Principal: site.ControllerRole, Code: "AccessDeniedException", Message: "broken on purpose"})
	bundle.Token = "abcdef.0123456789abcdef"
	forged, err := bundle.Encode()
	if err != nil {
		return err
	}
	_, err = client.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: aws.String(string(forged)),
		Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
	return err
}

func loseIdentity(_ context.Context, l *site.Site) error {
	l.World.Inject(awssim.Fault{Service: "imds", Action: "/latest/dynamic/instance-identity", Code: "NotFound", Status: 404})
	return nil
}

// forbidApproval takes the right to approve from the controller.
func forbidApproval(ctx context.Context, l *site.Site) error {
	roles := l.Cluster.Client().RbacV1().ClusterRoles()
	all, err := roles.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, r := range all.Items {
		for i, rule := range r.Rules {
			if r.Name == "joinery:controller" && slices.Contains(rule.Resources, "signers") {
				r.Rules = slices.Delete(r.Rules, i, i+1)
				_, err := roles.Update(ctx, &r, metav1.UpdateOptions{})
				return err
			}
		}
	}
	return errors.New("no role lets the controller approve")
}

// TestInterruptedRunLeavesNothing ends the run in the middle of a boot, as a
// Ctrl-C does.
func TestInterruptedRunLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f, err := play(ctx, t, demo.Options{Before: func(_ context.Context, step string, _ *site.Site) error {
		if step == "first-node-joins" {
			time.AfterFunc(2*time.Second, cancel)
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	last := f.Steps[len(f.Steps)-1]
	if last.Name != "teardown-leaves-nothing" || !last.OK {
		t.Errorf("last step %+v", last)
	}
}
