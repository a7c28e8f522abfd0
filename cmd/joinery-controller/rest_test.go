package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// mostCallsAtRest bounds what all readers of EC2 and Auto Scaling together ask in an
// hour in which nothing happens, in a cluster with one group of three nodes and no
// hook of ours. It was 68 by the pauses of the code before, when the autoscaler and
// the hooks' loop looked at the groups apart (20 and 30 looks at the groups, 4 for
// forgotten tags, 10 at hooks, 4 at launch templates), without the 12 questions about
// the instances behind Nodes that the binding asks. One of them is the question about
// the images' tags, which is newer than that, and six are about instance refreshes.
const mostCallsAtRest = 67

func TestCallsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := simcluster.New(t, &awssim.World{})
		w.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: simcluster.UserData()})
		w.OK(w.PutGroup(awssim.GroupSpec{Name: "workers", Min: 3, Max: 10, Desired: 3, LaunchTemplate: "workers", Tags: simcluster.Tags()}))
		bubble.Sleep(time.Minute)
		for _, i := range w.Instances() {
			w.OK(w.Client.Tracker().Add(simcluster.NodeOf(i)))
		}
		stop := runReaders(t, w)
		defer stop()
		bubble.Sleep(30 * time.Minute)
		w.ForgetCalls()
		bubble.Sleep(time.Hour)
		count, total := map[string]int{}, 0
		for _, c := range w.Calls() {
			if c.Service == "ec2" || c.Service == "autoscaling" {
				count[c.Action]++
				total++
			}
		}
		t.Logf("%d calls in an hour at rest: %v", total, count)
		if total > mostCallsAtRest {
			t.Errorf("%d calls in an hour at rest: expected at most %d: %v", total, mostCallsAtRest, count)
		}
		if count["DescribeAutoScalingGroups"] == 0 || count["DescribeInstances"] == 0 {
			t.Errorf("a reader does not run: %v", count)
		}
	})
}

// runReaders runs the services that read EC2 and Auto Scaling, until stop.
func runReaders(t *testing.T, w *simcluster.Cluster) (stop func()) {
	t.Helper()
	c, err := v1alpha1.DecodeControllerConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {cluster: demo, endpoint: 'api:6443', approver: {stsProof: off}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.Config("controller")
	c.Spec.Region, c.Spec.VPCID = cfg.Region, w.VPCID
	p, err := assemble(c.Spec, cfg, w.Client, w.Events, w.Registry, w.Log, &progress.Board{},
		func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, s := range p.services {
		if !slices.Contains([]string{"csr", "nodes", "labels", "hooks", "images", "autoscaler"}, s.Name) {
			continue
		}
		running.Go(func() {
			if err := s.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("service %s: %v", s.Name, err)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}
