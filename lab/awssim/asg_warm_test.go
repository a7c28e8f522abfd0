package awssim_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func putPool(t *testing.T, c clients, change func(*autoscaling.PutWarmPoolInput)) error {
	in := &autoscaling.PutWarmPoolInput{AutoScalingGroupName: aws.String("g")}
	if change != nil {
		change(in)
	}
	_, err := c.asg.PutWarmPool(t.Context(), in)
	return err
}

func describePool(t *testing.T, c clients) *autoscaling.DescribeWarmPoolOutput {
	t.Helper()
	return must(c.asg.DescribeWarmPool(t.Context(), &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: aws.String("g")}))(t)
}

func describeGroup(t *testing.T, c clients) types.AutoScalingGroup {
	t.Helper()
	return must(c.asg.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"g"}}))(t).AutoScalingGroups[0]
}

// wantTarget fails unless the instance's metadata names the state that it is
// heading for.
func wantTarget(t *testing.T, w *awssim.World, id, want string) {
	t.Helper()
	if got := target(t, w, id); got != want {
		t.Errorf("target state %q, want %q", got, want)
	}
}

// inBubble runs a test with a group g whose machines take their time.
func inBubble(t *testing.T, spec awssim.GroupSpec, test func(*testing.T, *awssim.World, clients, *machines)) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{slow: time.Second}
		w := &awssim.World{Hypervisor: m, Timing: awssim.Timing{Proceed: time.Second}}
		defer w.Close()
		template(w)
		spec.Name, spec.LaunchTemplate = "g", "nodes"
		if err := w.PutGroup(spec); err != nil {
			t.Fatal(err)
		}
		test(t, w, connect(w, "controller"), m)
	})
}

// TestWarmPoolLifecycle walks one instance into the pool, into service and back.
func TestWarmPoolLifecycle(t *testing.T) {
	inBubble(t, awssim.GroupSpec{Max: 1}, func(t *testing.T, w *awssim.World, c clients, m *machines) {
		wantCode(t, putHook(t, c, "up", "LAUNCHING", 60, "ABANDON"), "")
		wantCode(t, putHook(t, c, "down", "TERMINATING", 60, "CONTINUE"), "")
		wantCode(t, putPool(t, c, func(in *autoscaling.PutWarmPoolInput) {
			in.InstanceReusePolicy = &types.InstanceReusePolicy{ReuseOnScaleIn: aws.Bool(true)}
		}), "")
		wantStates(t, w, "Warmed:Pending")
		id := w.Instances()[0].ID
		wantTarget(t, w, id, "Warmed:Stopped")
		bubble.Sleep(1100 * time.Millisecond)
		wantStates(t, w, "Warmed:Pending:Wait")
		wantCode(t, terminate(t, c, id, true), "ValidationError") // not for instances in a pool
		_, err := c.asg.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("g"), InstanceIds: []string{id}, ProtectedFromScaleIn: aws.Bool(true)})
		wantCode(t, err, "ValidationError") // neither
		wantCode(t, complete(t, c, "up", id, "CONTINUE"), "")
		wantStates(t, w, "Warmed:Pending:Proceed")
		bubble.Sleep(1500 * time.Millisecond) // proceeding, then half way to stopped
		wantStates(t, w, "Warmed:Pending:Proceed")
		if i := must(w.Instance(id))(t); i.State != awssim.Stopping {
			t.Errorf("EC2 state %s", i.State)
		}
		bubble.Sleep(time.Second)
		wantStates(t, w, "Warmed:Stopped")
		first := must(w.Instance(id))(t)
		if first.State != awssim.Stopped {
			t.Errorf("EC2 state %s", first.State)
		}

		// Scale out: started again, the launch hook fires a second time.
		bubble.Sleep(time.Hour)
		wantCode(t, setDesired(t, c, 1), "")
		wantStates(t, w, "Pending")
		wantTarget(t, w, id, "InService")
		second := must(w.Instance(id))(t)
		if second.State != awssim.Pending || second.LaunchTime.Sub(first.LaunchTime) < time.Hour || second.PrivateIP != first.PrivateIP {
			t.Errorf("started as %+v, was %+v", second, first)
		}
		bubble.Sleep(1100 * time.Millisecond)
		wantStates(t, w, "Pending:Wait")
		wantCode(t, complete(t, c, "up", id, "CONTINUE"), "")
		bubble.Sleep(2 * time.Second)
		wantStates(t, w, "InService")
		if g := describeGroup(t, c); len(g.Instances) != 1 || *g.WarmPoolSize != 0 {
			t.Errorf("%d instances, pool of %d", len(g.Instances), *g.WarmPoolSize)
		}

		// Scale in: the terminating hook holds it on its way back.
		wantCode(t, setDesired(t, c, 0), "")
		wantStates(t, w, "Warmed:Pending:Wait")
		wantTarget(t, w, id, "Warmed:Stopped")
		wantCode(t, complete(t, c, "up", id, "CONTINUE"), "ValidationError")
		wantCode(t, complete(t, c, "down", id, "CONTINUE"), "")
		bubble.Sleep(3 * time.Second)
		wantStates(t, w, "Warmed:Stopped")
		if got, want := m.said(), "start;stop;start;stop;"; got != want {
			t.Errorf("hypervisor did %s want %s", got, want)
		}
		var said []string
		for _, a := range group(t, w).Activities {
			said = append([]string{strings.TrimSuffix(a.Description, ": "+id) + " " + a.Status}, said...)
		}
		if got, want := strings.Join(said, "; "), "Launching a new EC2 instance into warm pool Successful; Launching a new EC2 instance from warm pool Successful; Returning EC2 instance to warm pool Successful"; got != want {
			t.Errorf("activities %s", got)
		}

		// Deleting the pool: the terminating hook again, then the machine.
		_, err = c.asg.DeleteWarmPool(t.Context(), &autoscaling.DeleteWarmPoolInput{AutoScalingGroupName: aws.String("g")})
		wantCode(t, err, "")
		wantStates(t, w, "Warmed:Terminating:Wait")
		if p := describePool(t, c); p.WarmPoolConfiguration.Status != types.WarmPoolStatusPendingDelete || len(p.Instances) != 1 {
			t.Errorf("pool being deleted: %+v", p)
		}
		wantCode(t, putPool(t, c, nil), "ScalingActivityInProgress")
		wantCode(t, complete(t, c, "down", id, "CONTINUE"), "")
		bubble.Sleep(3 * time.Second)
		wantStates(t, w, "")
		if p := describePool(t, c); p.WarmPoolConfiguration != nil || describeGroup(t, c).WarmPoolConfiguration != nil {
			t.Errorf("the deleted pool is described: %+v", p)
		}
		if i := must(w.Instance(id))(t); i.State != awssim.Terminated {
			t.Errorf("EC2 state %s", i.State)
		}
	})
}

// TestWarmPoolIsRefilled: what a scale-out takes is replaced; what the pool has
// not got is launched without it.
func TestWarmPoolIsRefilled(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 4, Desired: 1, WarmPool: &awssim.WarmPool{MinSize: 2, MaxPrepared: 2}})
	if got := states(t, w); got != "InService Warmed:Stopped Warmed:Stopped" {
		t.Fatalf("states %q", got)
	}
	// The one in the zone where the group has nothing yet is taken.
	wantCode(t, setDesired(t, c, 2), "")
	if got := states(t, w); got != "InService Warmed:Stopped InService Warmed:Stopped" {
		t.Errorf("after one: %q", got)
	}
	wantCode(t, setDesired(t, c, 4), "")
	if got := states(t, w); strings.Count(got, "InService") != 4 || strings.Count(got, "Warmed:Stopped") != 2 {
		t.Errorf("after two more: %q", got)
	}
	g := describeGroup(t, c)
	if len(g.Instances) != 4 || *g.WarmPoolSize != 2 || *g.WarmPoolConfiguration.MinSize != 2 || *g.WarmPoolConfiguration.MaxGroupPreparedCapacity != 2 || g.WarmPoolConfiguration.PoolState != "Stopped" {
		t.Errorf("group: %d instances, pool %+v", len(g.Instances), g.WarmPoolConfiguration)
	}
	for _, i := range g.Instances {
		if strings.HasPrefix(string(i.LifecycleState), "Warmed") {
			t.Errorf("%s is listed as %s", *i.InstanceId, i.LifecycleState)
		}
	}
	if p := describePool(t, c); len(p.Instances) != 2 || p.Instances[0].LifecycleState != types.LifecycleStateWarmedStopped {
		t.Errorf("pool %+v", p.Instances)
	}
	all := must(c.asg.DescribeAutoScalingInstances(t.Context(), nil))(t).AutoScalingInstances
	if len(all) != 6 {
		t.Errorf("%d instances described, want those of the pool too", len(all))
	}
	// Without a reuse policy, a scale-in ends instances.
	wantCode(t, setDesired(t, c, 3), "")
	if got := states(t, w); strings.Count(got, "InService") != 3 || strings.Count(got, "Warmed:Stopped") != 2 || len(w.Instances()) != 6 {
		t.Errorf("after a scale-in: %q", got)
	}
}

func TestWarmPoolSize(t *testing.T) {
	tests := []struct {
		name    string
		pool    awssim.WarmPool
		desired int32
		want    string // states of the pool at desired
	}{
		{"up to the maximum", awssim.WarmPool{}, 2, "Warmed:Stopped Warmed:Stopped"},
		{"prepared capacity", awssim.WarmPool{MaxPrepared: 3}, 2, "Warmed:Stopped"},
		{"minimum", awssim.WarmPool{MaxPrepared: 1, MinSize: 1}, 2, "Warmed:Stopped"},
		{"none", awssim.WarmPool{MaxPrepared: 1}, 2, ""},
		{"running", awssim.WarmPool{MaxPrepared: 3, State: "Running"}, 2, "Warmed:Running"},
		{"hibernated", awssim.WarmPool{MaxPrepared: 3, State: "Hibernated"}, 2, "Warmed:Hibernated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, c := newGroup(t, awssim.GroupSpec{Max: 4, Desired: 0, WarmPool: &tt.pool})
			wantCode(t, setDesired(t, c, tt.desired), "")
			var warm []string
			for _, m := range group(t, w).Members {
				if m.Lifecycle != "InService" {
					warm = append(warm, m.Lifecycle)
				}
			}
			if got := strings.Join(warm, " "); got != tt.want || len(group(t, w).Members)-len(warm) != int(tt.desired) {
				t.Errorf("pool %q, want %q; %d members", got, tt.want, len(group(t, w).Members))
			}
		})
	}
}

// TestRunningPool: its instances are not stopped, and so keep their launch time.
func TestRunningPool(t *testing.T) {
	inBubble(t, awssim.GroupSpec{Max: 1, WarmPool: &awssim.WarmPool{State: "Running"}}, func(t *testing.T, w *awssim.World, c clients, m *machines) {
		bubble.Sleep(1100 * time.Millisecond)
		wantStates(t, w, "Warmed:Running")
		launched := w.Instances()[0].LaunchTime
		wantTarget(t, w, w.Instances()[0].ID, "Warmed:Running")
		wantCode(t, putHook(t, c, "up", "LAUNCHING", 60, "ABANDON"), "")
		wantCode(t, setDesired(t, c, 1), "")
		wantStates(t, w, "Pending:Wait")
		if i := w.Instances()[0]; i.State != awssim.Running || !i.LaunchTime.Equal(launched) {
			t.Errorf("%s, launched %s and not %s", i.State, i.LaunchTime, launched)
		}
		wantTarget(t, w, w.Instances()[0].ID, "InService")
		if got := m.said(); got != "start;" {
			t.Errorf("hypervisor did %s", got)
		}
	})
}

// TestUnpreparedPoolIsNotUsed: an instance on its way into the pool serves
// nobody yet, and one that fails there is replaced.
func TestUnpreparedPoolIsNotUsed(t *testing.T) {
	inBubble(t, awssim.GroupSpec{Max: 2, WarmPool: &awssim.WarmPool{MinSize: 1, MaxPrepared: 1}}, func(t *testing.T, w *awssim.World, c clients, _ *machines) {
		wantCode(t, putHook(t, c, "up", "LAUNCHING", 60, "ABANDON"), "")
		bubble.Sleep(1100 * time.Millisecond)
		wantStates(t, w, "Warmed:Pending:Wait")
		first := w.Instances()[0].ID
		wantCode(t, setDesired(t, c, 1), "")
		wantStates(t, w, "Warmed:Pending:Wait Pending")
		wantCode(t, complete(t, c, "up", first, "ABANDON"), "")
		wantStates(t, w, "Warmed:Terminating Pending Warmed:Pending")
		wantTarget(t, w, first, "Warmed:Terminated")
		bubble.Sleep(2 * time.Second)
		wantStates(t, w, "Pending:Wait Warmed:Pending:Wait")
		// A pooled instance that EC2 ends is replaced too.
		w.Terminate(group(t, w).Members[1].InstanceID)
		bubble.Sleep(2 * time.Second)
		wantStates(t, w, "Pending:Wait Warmed:Pending:Wait")
	})
}

// TestReturnIsAbandoned: an instance whose way back into the pool is abandoned
// ends without meeting its terminating hook again.
func TestReturnIsAbandoned(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 1, Desired: 1, WarmPool: &awssim.WarmPool{ReuseOnScaleIn: true}})
	wantCode(t, putHook(t, c, "down", "TERMINATING", 60, "ABANDON"), "")
	id := group(t, w).Members[0].InstanceID
	wantCode(t, setDesired(t, c, 0), "")
	if got := states(t, w); got != "Warmed:Pending:Wait" {
		t.Fatalf("states %q", got)
	}
	wantCode(t, complete(t, c, "down", id, "ABANDON"), "")
	if got := states(t, w); got != "Warmed:Stopped" || group(t, w).Members[0].InstanceID == id {
		t.Errorf("states %q of %s", got, group(t, w).Members[0].InstanceID)
	}
	// A named instance is ended, not returned.
	wantCode(t, setDesired(t, c, 1), "")
	id = group(t, w).Members[0].InstanceID
	wantCode(t, terminate(t, c, id, true), "")
	if m := group(t, w).Members[0]; m.InstanceID != id || m.Lifecycle != "Terminating:Wait" {
		t.Errorf("named instance is %+v", m)
	}
}

func TestWarmPoolSettings(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 3})
	for name, change := range map[string]func(*autoscaling.PutWarmPoolInput){
		"negative size":        func(in *autoscaling.PutWarmPoolInput) { in.MinSize = aws.Int32(-1) },
		"prepared capacity":    func(in *autoscaling.PutWarmPoolInput) { in.MaxGroupPreparedCapacity = aws.Int32(-2) },
		"state of the pool":    func(in *autoscaling.PutWarmPoolInput) { in.PoolState = "Frozen" },
		"group does not exist": func(in *autoscaling.PutWarmPoolInput) { in.AutoScalingGroupName = aws.String("none") },
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, putPool(t, c, change), "ValidationError") })
	}
	if p := describePool(t, c); p.WarmPoolConfiguration != nil || len(p.Instances) != 0 {
		t.Errorf("a pool from refused calls: %+v", p)
	}
	_, err := c.asg.DeleteWarmPool(t.Context(), &autoscaling.DeleteWarmPoolInput{AutoScalingGroupName: aws.String("g")})
	wantCode(t, err, "ValidationError")
	wantCode(t, putPool(t, c, func(in *autoscaling.PutWarmPoolInput) { in.MaxGroupPreparedCapacity = aws.Int32(2) }), "")
	if n := len(describePool(t, c).Instances); n != 2 {
		t.Errorf("%d instances, want 2", n)
	}
	// Settings that are not given stay; -1 takes the prepared capacity back.
	wantCode(t, putPool(t, c, func(in *autoscaling.PutWarmPoolInput) { in.MinSize = aws.Int32(1) }), "")
	if n := len(describePool(t, c).Instances); n != 2 {
		t.Errorf("%d instances, want 2 still", n)
	}
	wantCode(t, putPool(t, c, func(in *autoscaling.PutWarmPoolInput) { in.MaxGroupPreparedCapacity = aws.Int32(-1) }), "")
	if n := len(describePool(t, c).Instances); n != 3 {
		t.Errorf("%d instances, want 3", n)
	}
	if spec := group(t, w).WarmPool; spec == nil || *spec != (awssim.WarmPool{MinSize: 1, State: "Stopped"}) {
		t.Errorf("pool %+v", spec)
	}
	p := must(c.asg.DescribeWarmPool(t.Context(), &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: aws.String("g"), MaxRecords: aws.Int32(2)}))(t)
	if len(p.Instances) != 2 || p.NextToken == nil {
		t.Errorf("page of %d", len(p.Instances))
	}
	// A smaller pool ends what it has too many of.
	wantCode(t, putPool(t, c, func(in *autoscaling.PutWarmPoolInput) { in.MaxGroupPreparedCapacity = aws.Int32(1) }), "")
	if n := len(describePool(t, c).Instances); n != 1 {
		t.Errorf("%d instances, want 1", n)
	}
	_, err = c.asg.DeleteAutoScalingGroup(t.Context(), &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("g")})
	wantCode(t, err, "ResourceInUse")
	wantCode(t, putHook(t, c, "down", "TERMINATING", 60, "ABANDON"), "")
	_, err = c.asg.DeleteWarmPool(t.Context(), &autoscaling.DeleteWarmPoolInput{AutoScalingGroupName: aws.String("g"), ForceDelete: aws.Bool(true)})
	wantCode(t, err, "")
	if got := states(t, w); got != "" || describeGroup(t, c).WarmPoolConfiguration != nil {
		t.Errorf("after a forced deletion: %q", got)
	}
}

// TestDryPool: a pool that cannot launch tries again, and the group's own
// launches are not held up by what the pool has ready.
func TestDryPool(t *testing.T) {
	inBubble(t, awssim.GroupSpec{Max: 2, WarmPool: &awssim.WarmPool{MinSize: 1}}, func(t *testing.T, w *awssim.World, c clients, _ *machines) {
		bubble.Sleep(3 * time.Second)
		wantStates(t, w, "Warmed:Stopped Warmed:Stopped")
		back := w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{}})
		w.Terminate(group(t, w).Members[0].InstanceID)
		bubble.Sleep(2 * time.Second)
		wantStates(t, w, "Warmed:Stopped")
		wantCode(t, setDesired(t, c, 1), "")
		wantStates(t, w, "Pending")
		back()
		bubble.Sleep(3 * time.Second)
		wantStates(t, w, "InService Warmed:Stopped")
	})
}
