package awsfleet_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/lab/awssim"
)

func TestGroupsAndLifecycles(t *testing.T) {
	w := &awssim.World{}
	defer w.Close()
	w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
	const enabled, ours = "k8s.io/cluster-autoscaler/enabled", "k8s.io/cluster-autoscaler/demo"
	put := func(name, cluster string, pool *awssim.WarmPool, keys ...string) {
		t.Helper()
		spec := awssim.GroupSpec{Name: name, LaunchTemplate: "nodes", Max: 2, Desired: 1, WarmPool: pool, Tags: []awssim.Tag{{Key: v1alpha1.ClusterTag, Value: cluster}}}
		for _, k := range keys {
			spec.Tags = append(spec.Tags, awssim.Tag{Key: k})
		}
		if err := w.PutGroup(spec); err != nil {
			t.Fatal(err)
		}
	}
	put("b-pooled", "demo", &awssim.WarmPool{State: "Running"}, enabled, ours)
	put("theirs", "prod", nil, enabled, ours)
	put("undiscovered", "demo", nil, ours)
	var want []string
	for i := range 120 { // more than a page
		name := fmt.Sprintf("a-%03d", i)
		put(name, "demo", nil, enabled, ours)
		want = append(want, name)
	}
	want = append(want, "b-pooled")
	cfg := w.Config("controller")
	r := awsfleet.New(awsfleet.Options{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), Scope: fleet.Scope{Cluster: "demo"}})
	groups, err := r.Managed(t.Context(), 0)
	var got, ids []string
	for _, g := range groups {
		got = append(got, g.Name)
		for _, m := range g.Members {
			ids = append(ids, m.ID)
		}
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("managed: %q, %v", got, err)
	}
	pooled, err := r.Pool(t.Context(), "b-pooled", 0)
	if err != nil || len(pooled) != 1 || pooled[0].LifecycleState != "Warmed:Running" {
		t.Errorf("pooled: %v, %v", pooled, err)
	}
	if last := groups[len(groups)-1]; last.WarmPool != "Running" || groups[0].WarmPool != "" {
		t.Errorf("warm pools %q and %q", last.WarmPool, groups[0].WarmPool)
	}
	ids = append(ids, pooled[0].ID, "i-0123456789abcdef0")
	states, err := r.Lifecycles(t.Context(), ids...)
	if err != nil || len(states) != len(ids)-1 {
		t.Errorf("lifecycle states of %d instances, of %d asked for: %v", len(states), len(ids), err)
	}
	for id, state := range states {
		if warm := id == pooled[0].ID; warm != (state == "Warmed:Running") {
			t.Errorf("%s is %s", id, state)
		}
	}
}
