package boot_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/joinery/joinery/agent/boot"
	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/userdata"
)

// machine stands for everything that a boot changes, and keeps a trace.
type machine struct {
	trace  []string
	joined bool
	// fail gives the errors of a step, one for each time.
	fail  map[string][]error
	saved boot.State
	ready bool
	made  int
	// identity names the kubelet's credentials; each join makes another.
	identity string
	joins    int
	// uid is that of the Node; seen are those that were asked for.
	uid  string
	seen []string
	kept bool
	// gone is the UID of a Node that was deleted; nothing when empty.
	gone string
	// before and after are called around each step, when set.
	before, after func()
}

func (m *machine) step(name string) error {
	if m.before != nil {
		m.before()
	}
	m.trace = append(m.trace, name)
	if errs := m.fail[name]; len(errs) > 0 {
		m.fail[name] = errs[1:]
		return errs[0]
	}
	return nil
}

func (m *machine) Joined(string) error {
	if m.joined {
		return nil
	}
	return &join.NotJoinedError{Why: "new"}
}

func (m *machine) Reset(context.Context) error { m.joined = false; return m.step("reset") }

func (m *machine) Identity() string { return m.identity }

func (m *machine) Leave(context.Context) error { return m.step("leave") }

func (m *machine) verify(_ context.Context, _ join.Node, uid string) (string, error) {
	if m.seen = append(m.seen, uid); m.uid == "" {
		m.uid = "uid 1"
	}
	return m.uid, m.step("verify")
}

func (m *machine) Configure(join.Node) error { return m.step("configure") }

func (m *machine) Request(_ context.Context, _ join.Node, b *v1alpha1.JoinBundle) (join.Certificate, error) {
	return join.Certificate{Key: b.Token}, m.step("request")
}

func (m *machine) Join(_ context.Context, b *v1alpha1.JoinBundle, c join.Certificate) error {
	if c.Key != b.Token {
		return errors.New("the certificate is of another attempt")
	}
	err := m.step("join")
	if m.after != nil {
		defer m.after()
	}
	if m.joined = err == nil; m.joined {
		m.joins++
		m.identity = fmt.Sprint("key ", m.joins)
	}
	return err
}

func (m *machine) EnsureKubelet(_ context.Context, restart bool) error {
	return m.step(map[bool]string{true: "restart kubelet", false: "kubelet"}[restart])
}

func (m *machine) fetch(context.Context, join.Node) (*v1alpha1.JoinBundle, error) {
	m.made++
	token := v1alpha1.Secret("abcde" + string(rune('0'+m.made)) + ".0123456789abcdef")
	return &v1alpha1.JoinBundle{Token: token}, m.step("fetch")
}

// instance answers as the metadata service of an instance does.
type instance struct {
	id       string
	userData []byte
	tag      string
	states   []imds.LifecycleState
}

func (i *instance) Facts(context.Context) (identity.Facts, error) {
	return identity.Facts{InstanceID: i.id, Region: "us-west-2", Zone: "us-west-2a", PrivateIP: "10.99.0.12"}, nil
}

func (i *instance) UserData(context.Context) ([]byte, error) {
	if i.userData == nil {
		return nil, imds.ErrAbsent
	}
	return i.userData, nil
}

func (i *instance) Tag(context.Context, string) (string, error) {
	if i.tag == "" {
		return "", imds.ErrAbsent
	}
	return i.tag, nil
}

func (i *instance) LifecycleState(context.Context) (imds.LifecycleState, error) {
	if len(i.states) == 0 {
		return "", imds.ErrAbsent
	}
	s := i.states[0]
	i.states = i.states[1:]
	return s, nil
}

const firstID, secondID = "i-0123456789abcdef0", "i-0fedcba9876543210"

func work(m *machine, i *instance, s boot.State) *boot.Work {
	return &boot.Work{
		Metadata: i, Membership: m, Joiner: m, Fetch: m.fetch, State: s, BootID: "this boot", Log: slog.New(slog.DiscardHandler),
		SetHostname: func(_ context.Context, name string) error { return m.step("hostname " + name) },
		Quiet:       func(context.Context) ([]string, error) { return nil, m.step("quiet") },
		Verify:      m.verify,
		Kept:        func(context.Context, join.Node, string) bool { return m.kept },
		Look: func(_ context.Context, _, uid string) *join.LostError {
			if m.gone == uid {
				return &join.LostError{Reason: v1alpha1.NodeDeleted}
			}
			return nil
		},
		Report: func(context.Context, join.Node) error { return m.step("report") },
		Ready:  func() { m.ready = true },
		Save:   func(s boot.State) error { m.saved = s; return nil },
	}
}

const named = "hostname ip-10-99-0-12.us-west-2.compute.internal"

func TestBoot(t *testing.T) {
	broken := []error{errors.New("broken")}
	config := []byte("apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec:\n  cluster: demo\n")
	first := []string{named, "quiet", "fetch", "configure", "request", "join", "kubelet", "verify", "report"}
	for name, tc := range map[string]struct {
		instance instance
		machine  machine
		state    boot.State
		want     []string
		token    string
		least    time.Duration
	}{
		"first":        {instance: instance{id: firstID, userData: config}, want: first, token: "abcde1"},
		"tag only":     {instance: instance{id: firstID, tag: "demo"}, want: first, token: "abcde1"},
		"shell script": {instance: instance{id: firstID, userData: []byte("#!/bin/sh\n"), tag: "demo"}, want: first, token: "abcde1"},
		"reboot": {
			instance: instance{id: firstID, tag: "demo"}, machine: machine{joined: true},
			state: boot.State{InstanceID: firstID, BootID: "last boot", TokenID: "zzzzzz", Complete: true},
			want:  []string{named, "quiet", "kubelet", "verify", "report"}, token: "zzzzzz",
		},
		"image of a node": {
			instance: instance{id: secondID, tag: "demo"}, machine: machine{joined: true},
			state: boot.State{InstanceID: firstID, BootID: "last boot", TokenID: "zzzzzz", Complete: true},
			want:  append([]string{"reset"}, first...), token: "abcde1",
		},
		"warm pool": {
			instance: instance{id: firstID, tag: "demo", states: []imds.LifecycleState{"Warmed:Stopped", "Warmed:Stopped", "InService"}},
			want:     first, token: "abcde1", least: 2 * time.Second,
		},
		"denied once": {
			instance: instance{id: firstID, tag: "demo"}, machine: machine{fail: map[string][]error{"request": broken}},
			want:  []string{named, "quiet", "fetch", "configure", "request", "fetch", "configure", "request", "join", "kubelet", "verify", "report"},
			token: "abcde2",
		},
		"kubeadm fails once": {
			instance: instance{id: firstID, tag: "demo"}, machine: machine{fail: map[string][]error{"join": broken}},
			want:  []string{named, "quiet", "fetch", "configure", "request", "join", "fetch", "configure", "request", "join", "kubelet", "verify", "report"},
			token: "abcde2",
		},
		"node was deleted": {
			instance: instance{id: firstID, tag: "demo"}, machine: machine{joined: true, fail: map[string][]error{"verify": {&join.NotReadyError{Missing: true}}}},
			want: []string{named, "quiet", "kubelet", "verify", "restart kubelet", "verify", "report"},
		},
		"node is slow": {
			instance: instance{id: firstID, tag: "demo"}, machine: machine{joined: true, fail: map[string][]error{"verify": {&join.NotReadyError{}}}},
			want: []string{named, "quiet", "kubelet", "verify", "kubelet", "verify", "report"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, i := tc.machine, tc.instance
				s, _ := sequence(work(&m, &i, tc.state).Stages()...)
				began := time.Now()
				if err := s.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(m.trace, tc.want) {
					t.Errorf("did  %v\nwant %v", m.trace, tc.want)
				}
				if m.saved.TokenID != tc.token || m.saved.InstanceID != tc.instance.id || m.saved.BootID != "this boot" || !m.ready {
					t.Errorf("saved %+v, ready %v", m.saved, m.ready)
				}
				if took := time.Since(began); took < tc.least {
					t.Errorf("went on after %s", took)
				}
			})
		})
	}
}

func TestWrongConfigurationIsToldByItsField(t *testing.T) {
	for name, tc := range map[string]struct {
		instance instance
		want     string
	}{
		"nothing":       {instance{id: firstID}, "no tag joinery:cluster"},
		"unknown field": {instance{id: firstID, userData: []byte("apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec:\n  cluster: demo\n  taint: x\n")}, "spec.taint"},
		"bad tag":       {instance{id: firstID, tag: "no good"}, "tag joinery:cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{}
			err := work(m, &tc.instance, boot.State{}).Stages()[0].Run(t.Context())
			var wrong *boot.ConfigError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tc.want) || !wrong.Slow() {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if !m.ready {
				t.Error("a machine that is known must not hold up its boot")
			}
		})
	}
}

func TestIdentityOfASimulatedInstance(t *testing.T) {
	w := &awssim.World{}
	t.Cleanup(w.Close)
	config, err := v1alpha1.NodeConfigFor("demo")
	if err != nil {
		t.Fatal(err)
	}
	config.Spec.Labels = map[string]string{"example.com/pool": "a"}
	text, err := userdata.Render(config)
	if err != nil {
		t.Fatal(err)
	}
	i, err := w.AddInstance(awssim.InstanceSpec{UserData: text})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.IMDS(i.ID))
	t.Cleanup(server.Close)
	m := &machine{}
	job := work(m, &instance{}, boot.State{})
	job.Metadata = imds.New(func(o *sdk.Options) { o.Endpoint = server.URL })
	for _, s := range job.Stages()[:2] {
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n := job.Node()
	if n.Name != i.PrivateDNSName || n.ProviderID != "aws:///"+i.Zone+"/"+i.ID || n.Spec.Labels["example.com/pool"] != "a" {
		t.Errorf("got %+v of %+v", n, i)
	}
}
