package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/lab/awssim"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "controller.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCheckConfigListsEveryProblem(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec:
  endpoint: nowhere
  colour: red
  token: {schedule: "never", ttl: 1s}
`)
	var out bytes.Buffer
	c := command(&out, &out)
	c.SetArgs([]string{"check-config", "--config", file})
	err := c.Execute()
	if err == nil {
		t.Fatal("no error")
	}
	report(&out, err)
	for _, field := range []string{"spec.cluster", "spec.endpoint", "spec.colour", "spec.token.ttl"} {
		if !strings.Contains(out.String(), "config: "+field+":") {
			t.Errorf("%s is not named in its own line:\n%s", field, &out)
		}
	}
}

func TestCheckConfigJudgesTheSchedule(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.0.0.1:6443", approver: {stsProof: off}, token: {schedule: "61 * * * *"}}
`)
	if _, err := load(file); err == nil || !strings.Contains(err.Error(), "spec.token.schedule") {
		t.Errorf("got %v", err)
	}
}

func TestValidConfig(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.0.0.1:6443", approver: {stsProof: off}, token: {schedule: "*/10 * * * *", ttl: 40m}}
`)
	var out bytes.Buffer
	c := command(&out, &out)
	c.SetArgs([]string{"check-config", "--config", file})
	if err := c.Execute(); err != nil || !strings.Contains(out.String(), "valid") {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestCheckConfigReadsTheFilesThatAreNamed(t *testing.T) {
	put := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := func(prices, scheduler string) string {
		return write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.0.0.1:6443", approver: {nodeRoles: [node]}, autoscaler: {prices: `+prices+`, schedulerConfig: `+scheduler+`}}
`)
	}
	prices := put("prices.csv", "instanceType,usdPerHour\nm5.large,0.1\n")
	scheduler := put("scheduler.yaml", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n")
	if _, err := load(config(prices, scheduler)); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		prices, scheduler string
		want              []string
	}{
		{put("bad.csv", "instanceType,usdPerHour\nm5.large,free\n"), put("bad.yaml", "kind: Pod"),
			[]string{"spec.autoscaler.prices: read ", "line 2: usdPerHour of m5.large", "spec.autoscaler.schedulerConfig: read "}},
		{"/nowhere/prices.csv", scheduler, []string{"spec.autoscaler.prices: open /nowhere/prices.csv: no such file"}},
	} {
		_, err := load(config(tt.prices, tt.scheduler))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error does not say %q: %v", want, err)
			}
		}
	}
}

func TestMissingConfigIsNotInvalid(t *testing.T) {
	if _, err := load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// One run says everything: what is wrong with the document, with values, and
// with each file that it names.
func TestCheckConfigSaysEverythingAtOnce(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec:
  colour: red
  token: {schedule: "61 * * * *"}
  approver: {proof: nodeRole}
  autoscaler: {prices: /nowhere/prices.csv, schedulerConfig: /nowhere/scheduler.yaml, drainTimeout: -1s}
`)
	_, err := load(file)
	var invalid *v1alpha1.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	got := map[string]bool{}
	for _, p := range invalid.Problems {
		got[p.Field] = true
	}
	for _, want := range []string{"spec.cluster", "spec.colour", "spec.token.schedule", "spec.approver.nodeRoles",
		"spec.autoscaler.drainTimeout", "spec.autoscaler.prices", "spec.autoscaler.schedulerConfig"} {
		if !got[want] {
			t.Errorf("%s is not among the problems: %v", want, invalid.Problems)
		}
	}
}

func TestProbesAreServed(t *testing.T) {
	said := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	h := handler(prometheus.NewRegistry(), &scaler{}, probes{alive: said("alive"), ready: said("ready")})
	for path, want := range map[string]string{"/healthz": "alive", "/readyz": "ready", "/decisions": "does not lead"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestServicesWithRoundsAreServices(t *testing.T) {
	var s v1alpha1.ControllerSpec
	c, err := v1alpha1.DecodeControllerConfig([]byte(`{apiVersion: joinery.dev/v1alpha1, kind: ControllerConfig, spec: {cluster: demo, approver: {stsProof: off}}}`))
	if err != nil {
		t.Fatal(err)
	}
	s = c.Spec
	p, err := assemble(s, aws.Config{Region: "us-west-2"}, fake.NewClientset(), record.NewFakeRecorder(1), prometheus.NewRegistry(), slog.New(slog.DiscardHandler), &progress.Board{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range rounds {
		if !slices.ContainsFunc(p.services, func(s leader.Service) bool { return s.Name == name }) {
			t.Errorf("no service is called %s", name)
		}
	}
	if got := watched(&progress.Board{}, p.services); len(got) != len(p.services) {
		t.Errorf("%d of %d services are watched", len(got), len(p.services))
	}
}

func TestRotationsAreProgress(t *testing.T) {
	done := 0
	b := beat{token.NewMetrics(prometheus.NewRegistry(), token.Join, nil), func() { done++ }}
	b.Published(time.Now(), time.Now())
	b.Trouble(errors.New("throttled"))
	if done != 1 {
		t.Errorf("%d rounds: expected one, that which succeeded", done)
	}
}

func TestIdentityShowsWhoLeads(t *testing.T) {
	reg, leads := prometheus.NewRegistry(), false
	registerIdentity(reg, func() bool { return leads })
	for _, leads = range []bool{false, true} {
		all, err := reg.Gather()
		if err != nil || len(all) != 2 {
			t.Fatalf("%v: %v", all, err)
		}
		if got := all[1].GetMetric()[0].GetGauge().GetValue(); all[1].GetName() != "joinery_leader" || (got == 1) != leads {
			t.Errorf("leads %t: %s %v", leads, all[1].GetName(), got)
		}
	}
}

func TestHangupRotatesOnTheLeaderOnly(t *testing.T) {
	for _, leads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			hangups, rotations := make(chan os.Signal, 1), 0
			go rotateOnHangup(ctx, hangups, func() { rotations++ }, func() bool { return leads }, slog.New(slog.DiscardHandler))
			hangups <- syscall.SIGHUP
			synctest.Wait()
			cancel()
			synctest.Wait()
			if (rotations == 1) != leads {
				t.Errorf("leading %t: %d rotations", leads, rotations)
			}
		})
	}
}

func TestLentMetricsCanBeRegisteredAgain(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		l := &lent{Registerer: reg}
		if err := l.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "a", Help: "a"})); err != nil {
			t.Fatal(err)
		}
		l.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "b", Help: "b"}))
		l.giveBack()
	}
}

// Names that AWS does not know are told all at once, with their places. Without AWS, or
// offline, the configuration is judged by itself.
func TestCheckConfigAsksAboutNamedGroups(t *testing.T) {
	w := &awssim.World{}
	t.Cleanup(w.Close)
	w.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
	for name, owner := range map[string]string{"plain": "", "ours": "demo", "theirs": "prod"} {
		var tags []awssim.Tag
		if owner != "" {
			tags = append(tags, awssim.Tag{Key: "joinery:cluster", Value: owner})
		}
		if err := w.PutGroup(awssim.GroupSpec{Name: name, LaunchTemplate: "workers", Max: 1, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	w.Settle()
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	keys := w.Credentials("operator")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.SessionToken,
		"AWS_REGION": w.Region, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	check := func(endpoint string, flags ...string) (string, error) {
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec:
  cluster: demo
  endpoint: "10.0.0.1:6443"
  approver: {stsProof: off}
  autoscaler: {groups: [{name: plain}, {name: typo}, {name: ours}, {name: theirs}, {name: gone}]}
`)
		var out bytes.Buffer
		c := command(&out, &out)
		c.SetArgs(append([]string{"check-config", "--config", file}, flags...))
		err := c.Execute()
		if err != nil {
			report(&out, err)
		}
		return out.String(), err
	}
	text, err := check(server.URL)
	want := `joinery-controller: config: spec.autoscaler.groups[1].name: "typo": expected the name of an Auto Scaling group in region us-west-2
joinery-controller: config: spec.autoscaler.groups[3].name: "theirs": tag joinery:cluster names another cluster, "prod": expected a group of cluster demo, or one without that tag
joinery-controller: config: spec.autoscaler.groups[4].name: "gone": expected the name of an Auto Scaling group in region us-west-2
`
	if err == nil || text != want {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, text, want)
	}
	if text, err := check("http://127.0.0.1:1"); err != nil || !strings.Contains(text, "AWS could not be asked about the groups") || !strings.Contains(text, ": valid") {
		t.Errorf("without AWS: %v\n%s", err, text)
	}
	if text, err := check("http://127.0.0.1:1", "--offline"); err != nil || strings.Contains(text, "AWS") || !strings.Contains(text, ": valid") {
		t.Errorf("offline: %v\n%s", err, text)
	}
}
