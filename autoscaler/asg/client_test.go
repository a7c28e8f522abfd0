package asg_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/price"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

const goodConfig = "apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: demo, labels: {team: a}}\n"

// discoverable are the tags of a managed group of cluster demo.
func discoverable(more ...awssim.Tag) []awssim.Tag {
	tags := []awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/demo", Value: "owned"}, {Key: "joinery:cluster", Value: "demo"}}
	for _, m := range more {
		tags = slices.DeleteFunc(tags, func(t awssim.Tag) bool { return t.Key == m.Key })
	}
	return append(tags, more...)
}

func putTemplate(w *awssim.World, name, userData string) {
	w.PutLaunchTemplate(name, awssim.LaunchTemplateData{
		ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: base64.StdEncoding.EncodeToString([]byte(userData)),
	})
}

func putGroup(t *testing.T, w *awssim.World, spec awssim.GroupSpec) {
	t.Helper()
	if err := w.PutGroup(spec); err != nil {
		t.Fatal(err)
	}
}

func newClient(t *testing.T, w *awssim.World, log *strings.Builder) *asg.Client {
	t.Helper()
	prices, err := price.Read(strings.NewReader("instanceType,usdPerHour\nt3.medium,0.05\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	cfg := w.Config("joinery-controller")
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	instances := ec2.NewFromConfig(cfg)
	return asg.New(asg.Options{
		AutoScaling: autoscaling.NewFromConfig(cfg), EC2: instances, Templates: launch.NewTemplates(instances),
		Fleet:   awsfleet.New(awsfleet.Options{EC2: instances, AutoScaling: autoscaling.NewFromConfig(cfg), Scope: fleet.Scope{Cluster: "demo"}}),
		Cluster: "demo", Prices: prices, Log: logger,
	})
}

func groupsOf(t *testing.T, c *asg.Client) map[string]cluster.Group {
	t.Helper()
	list, err := c.Groups(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]cluster.Group{}
	for _, g := range list {
		byName[g.Name] = g
	}
	return byName
}

func TestGroupsOfTheClusterAndNoOther(t *testing.T) {
	var w awssim.World
	var log strings.Builder
	c := newClient(t, &w, &log)
	putTemplate(&w, "workers", goodConfig)
	for name, tags := range map[string][]awssim.Tag{
		"ours":        discoverable(),
		"ownerless":   {{Key: "k8s.io/cluster-autoscaler/enabled", Value: ""}, {Key: "k8s.io/cluster-autoscaler/demo", Value: ""}},
		"stranger":    discoverable(awssim.Tag{Key: "joinery:cluster", Value: "prod"}),
		"not-enabled": {{Key: "k8s.io/cluster-autoscaler/demo", Value: ""}},
		"nameless":    {{Key: "k8s.io/cluster-autoscaler/enabled", Value: ""}},
		"prods":       {{Key: "k8s.io/cluster-autoscaler/enabled", Value: ""}, {Key: "k8s.io/cluster-autoscaler/prod", Value: ""}},
		"untagged":    nil,
	} {
		putGroup(t, &w, awssim.GroupSpec{Name: name, Max: 3, Desired: 1, LaunchTemplate: "workers", Tags: tags})
	}
	for range 2 {
		got := groupsOf(t, c)
		if len(got) != 1 || got["ours"].Name != "ours" {
			t.Fatalf("managed groups are %v, want ours alone", got)
		}
	}
	want := map[string]string{
		"stranger":    `tag joinery:cluster names another cluster, "prod"`,
		"not-enabled": "missing tag k8s.io/cluster-autoscaler/enabled",
		"nameless":    "missing tag k8s.io/cluster-autoscaler/demo",
		"ownerless":   "missing tag joinery:cluster",
	}
	skipped := c.Skipped()
	if len(skipped) != len(want) {
		t.Errorf("skipped %v, want %v", skipped, want)
	}
	for _, s := range skipped {
		if s.Reason != want[s.Group] {
			t.Errorf("group %s: reason %q, want %q", s.Group, s.Reason, want[s.Group])
		}
		if n := strings.Count(log.String(), "group="+s.Group+" "); n != 1 {
			t.Errorf("group %s was reported %d times, want once", s.Group, n)
		}
	}
	g := got(t, c, "ours")
	if g.Template == nil || g.Template.Labels["team"] != "a" || g.InstanceType != "t3.medium" || g.LaunchTemplateVersion != "1" {
		t.Errorf("group ours is %+v, %v", g, g.TemplateError)
	}
	if len(g.Instances) != 1 || !strings.HasPrefix(g.Instances[0].Zone, "us-west-2") || g.Instances[0].LaunchedAt.IsZero() {
		t.Errorf("instances of ours are %+v", g.Instances)
	}
}

func got(t *testing.T, c *asg.Client, group string) cluster.Group {
	t.Helper()
	return groupsOf(t, c)[group]
}

// The inputs that an operator gets wrong: each is one group's clear error, and
// the good group goes on.
func TestBadGroupsStopNoOther(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	putTemplate(&w, "good", goodConfig)
	putTemplate(&w, "malformed", "apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: [")
	putTemplate(&w, "unknown-field", "apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: demo, lables: {a: b}}\n")
	putTemplate(&w, "unknown-version", "apiVersion: joinery.dev/v9\nkind: NodeConfig\nspec: {cluster: demo}\n")
	putTemplate(&w, "other-cluster", "apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: prod}\n")
	putTemplate(&w, "no-user-data", "")
	putTemplate(&w, "bad-tag", goodConfig)
	w.PutLaunchTemplate("no-type", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, UserData: base64.StdEncoding.EncodeToString([]byte(goodConfig))})
	want := map[string]string{
		"malformed":       "malformed YAML",
		"unknown-field":   "spec.lables",
		"unknown-version": "joinery.dev/v9",
		"other-cluster":   `spec.cluster: names cluster "prod"`,
		"no-user-data":    "no tag joinery:cluster",
		"bad-tag":         "k8s.io/cluster-autoscaler/node-template/resources/cpu",
		"no-type":         "instanceType: required",
		"no-template":     "no launch template",
	}
	for name := range want {
		spec := awssim.GroupSpec{Name: name, Max: 3, LaunchTemplate: name, Tags: discoverable()}
		switch name {
		case "no-template":
			spec.LaunchTemplate, spec.InstanceType = "", "t3.medium"
		case "bad-tag":
			spec.Tags = discoverable(awssim.Tag{Key: "k8s.io/cluster-autoscaler/node-template/resources/cpu", Value: "two"})
		}
		putGroup(t, &w, spec)
	}
	putGroup(t, &w, awssim.GroupSpec{Name: "good", Max: 3, LaunchTemplate: "good", Tags: discoverable()})
	groups := groupsOf(t, c)
	for name, text := range want {
		g := groups[name]
		if g.TemplateError == nil || !strings.Contains(g.TemplateError.Error(), text) || !strings.Contains(g.TemplateError.Error(), "group "+name) {
			t.Errorf("group %s: template error %v, want %q", name, g.TemplateError, text)
		}
		if g.Template != nil {
			t.Errorf("group %s has an error and a template", name)
		}
	}
	if g := groups["good"]; g.TemplateError != nil || g.Template == nil {
		t.Errorf("the good group has template %v, error %v", g.Template, g.TemplateError)
	}
}

func TestTagStandsInForUserData(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	putTemplate(&w, "bare", "")
	putGroup(t, &w, awssim.GroupSpec{Name: "bare", Max: 3, LaunchTemplate: "bare", Tags: discoverable(awssim.Tag{Key: "joinery:cluster", Value: "demo", Propagate: true})})
	if g := got(t, c, "bare"); g.TemplateError != nil {
		t.Error(g.TemplateError)
	}
}

// The SDK's request id would make one trouble look new at each look.
func TestSameTroubleIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w awssim.World
		defer w.Close()
		var log strings.Builder
		c := newClient(t, &w, &log)
		workers(t, &w, 0, 6, 0)
		look := func() error {
			bubble.Sleep(time.Hour)
			return got(t, c, "workers").TemplateError
		}
		throttle := awssim.Fault{Service: "ec2", Action: "DescribeLaunchTemplateVersions", Code: awssim.Throttle}
		remove := w.Inject(throttle)
		if first, again := look(), look(); first == nil || again == nil || first.Error() != again.Error() {
			t.Errorf("two looks gave %v and %v", first, again)
		}
		remove()
		if err := look(); err != nil {
			t.Error(err)
		}
		w.Inject(throttle)
		if n := strings.Count(log.String(), "group cannot be grown"); look() == nil || n != 1 {
			t.Errorf("warned %d times of the first trouble:\n%s", n, log.String())
		}
		if n := strings.Count(log.String(), "group cannot be grown"); n != 2 {
			t.Errorf("warned %d times of trouble that came twice:\n%s", n, log.String())
		}
	})
}

func TestUnknownInstanceType(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	w.PutLaunchTemplate("odd", awssim.LaunchTemplateData{InstanceType: "z9.huge", UserData: base64.StdEncoding.EncodeToString([]byte(goodConfig))})
	putGroup(t, &w, awssim.GroupSpec{Name: "odd", Max: 3, LaunchTemplate: "odd", Tags: discoverable()})
	if g := got(t, c, "odd"); g.TemplateError == nil || !strings.Contains(g.TemplateError.Error(), `unknown instance type "z9.huge"`) {
		t.Errorf("template error %v", g.TemplateError)
	}
}

func TestManyGroupsArePaged(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	putTemplate(&w, "workers", goodConfig)
	const n = 130
	for i := range n {
		putGroup(t, &w, awssim.GroupSpec{Name: fmt.Sprintf("g%03d", i), Max: 1, LaunchTemplate: "workers", Tags: discoverable()})
	}
	if groups := groupsOf(t, c); len(groups) != n {
		t.Errorf("%d groups, want %d", len(groups), n)
	}
	if calls := w.CallsTo("ec2", "DescribeLaunchTemplateVersions"); len(calls) != 1 {
		t.Errorf("%d calls for one launch template, want 1", len(calls))
	}
}

func TestCacheIsKeptUntilAnOwnWrite(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	putTemplate(&w, "workers", goodConfig)
	putGroup(t, &w, awssim.GroupSpec{Name: "workers", Max: 3, LaunchTemplate: "workers", Tags: discoverable()})
	read := func() int {
		groups, err := c.Groups(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return groups[0].Desired
	}
	read()
	w.ForgetCalls()
	read()
	if calls := w.Calls(); len(calls) != 0 {
		t.Errorf("a cached read asked AWS: %+v", calls)
	}
	if _, err := c.Raise(t.Context(), "workers", 0, 2); err != nil {
		t.Fatal(err)
	}
	if d := read(); d != 2 {
		t.Errorf("desired reads %d after an own write, want 2", d)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAPIErrorsOfTheListAreErrors(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	w.Inject(awssim.Fault{Service: "autoscaling", Action: "DescribeAutoScalingGroups", Code: "AccessDenied", Status: 403})
	if _, err := c.Groups(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("error %v, want AccessDenied", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Groups(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a canceled context", err)
	}
}
