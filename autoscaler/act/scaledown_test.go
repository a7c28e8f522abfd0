package act_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/bubble"
)

func TestRemovalDrainsAndTerminates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		f.addPod("app", nodeName(0))
		f.change(0, says(corev1.ConditionFalse, v1alpha1.PodsRunning))
		f.ScaleDown(t.Context(), f.removal(0, "app"))
		synctest.Wait()
		if n := f.node(0); !kube.Marked(n) || !n.Spec.Unschedulable {
			t.Errorf("during the removal the node is tainted %v, cordoned %v", n.Spec.Taints, n.Spec.Unschedulable)
		}
		f.Wait()
		g := f.groups()[0]
		g.Instances = slices.DeleteFunc(g.Instances, func(i cluster.Instance) bool { return i.Leaving() })
		if g.Desired != 1 || len(g.Instances) != 1 || g.Instances[0].ID == f.ids[0] {
			t.Errorf("group has desired %d and %+v, want the other instance alone", g.Desired, g.Instances)
		} else if !g.LastScaleDown.Equal(time.Now()) || !g.LastScaleDownFailure.IsZero() {
			t.Errorf("group remembers a removal at %s and a failure at %s", g.LastScaleDown, g.LastScaleDownFailure)
		}
		if !kube.Marked(f.node(0)) {
			t.Error("the taint was taken off a node that goes")
		}
		f.event(1, "ScaleDown", "drained and terminated instance "+f.ids[0])
	})
}

// Others may keep a drained node to clean up after it, but not for ever.
func TestRemovalWaitsForCleaners(t *testing.T) {
	const key = "delay-deletion.cluster-autoscaler.kubernetes.io/cleaner"
	for name, done := range map[string]time.Duration{"done after 30 s": 30 * time.Second, "never done": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 2)
				f.change(0, func(n *corev1.Node) { n.Annotations = map[string]string{key: "true"} })
				began := time.Now()
				f.ScaleDown(t.Context(), f.removal(0))
				if done < time.Minute {
					bubble.Sleep(done)
					f.change(0, func(n *corev1.Node) { n.Annotations = nil })
				}
				f.Wait()
				if took := time.Since(began); took < min(done, 2*time.Minute) || took > min(done, 2*time.Minute)+10*time.Second {
					t.Errorf("the instance ended after %s", took)
				}
				f.event(1, "ScaleDown", "drained and terminated instance "+f.ids[0])
			})
		})
	}
}

func TestRemovalIsRolledBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		during func(f *fixture) // while the taint settles
		words  []string
	}{
		{"blocked drain", func(f *fixture) { f.Blocked.Store(true) }, []string{"ScaleDownFailed", "not drained within 1m0s", "disruption budget cart"}},
		{"a pod came", func(f *fixture) { f.addPod("late", nodeName(0)) }, []string{"ScaleDownFailed", "default/late came to the node"}},
		{"the node is held", func(f *fixture) { f.change(0, says(corev1.ConditionFalse, v1alpha1.InhibitorHeld)) }, []string{"ScaleDownFailed", "InhibitorHeld"}},
		{"the mark was taken off", func(f *fixture) {
			f.change(0, func(n *corev1.Node) { n.Spec.Taints = nil })
		}, []string{"ScaleDownFailed", "took the mark"}},
		{"the node is another's instance", func(f *fixture) { f.records.drop(nodeName(0)) }, []string{"ScaleDownFailed", "is not instance"}},
		{"the group shrank", func(f *fixture) { f.ok(f.client.Terminate(f.t.Context(), "workers", f.ids[1])) }, []string{"ScaleDownFailed", "minimum size"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 2)
				f.addPod("app", nodeName(0))
				plan := f.removal(0, "app")
				f.ScaleDown(t.Context(), plan)
				synctest.Wait()
				tt.during(f)
				f.Wait()
				desired := 2
				if tt.name == "the group shrank" {
					desired = 1
				}
				f.untouched(0, desired)
				f.event(1, tt.words...)
				if g := f.groups()[0]; !g.LastScaleDownFailure.Equal(time.Now()) || !g.LastScaleDown.IsZero() {
					t.Errorf("group remembers a failure at %s and a removal at %s", g.LastScaleDownFailure, g.LastScaleDown)
				}
				f.ScaleDown(t.Context(), plan)
				f.Wait()
				f.event(0, "ScaleDown")
			})
		})
	}
}

func TestPlanThatNoLongerHoldsTouchesNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		minNow int
		before func(f *fixture)
		plan   func(f *fixture) scaledown.Decision
	}{
		{"a pod came", 0, func(f *fixture) { f.addPod("late", nodeName(0)) }, nil},
		{"a hold file", 0, func(f *fixture) { f.change(0, says(corev1.ConditionFalse, v1alpha1.HoldFile)) }, nil},
		{"pods by the agent's word", 0, func(f *fixture) { f.change(0, says(corev1.ConditionFalse, v1alpha1.PodsRunning)) }, nil},
		{"at the minimum", 2, func(*fixture) {}, nil},
		{"another Node of that name", 0, func(f *fixture) { f.change(0, func(n *corev1.Node) { n.UID = "made-again" }) }, nil},
		{"not adopted any more", 0, func(f *fixture) { f.records.drop(nodeName(0)) }, nil},
		{"its instance is another's", 0, func(f *fixture) {
			f.change(0, func(n *corev1.Node) { n.Spec.ProviderID = f.node(1).Spec.ProviderID })
		}, nil},
		{"another instance", 0, func(*fixture) {}, func(f *fixture) scaledown.Decision {
			d := f.removal(0)
			d.Remove[0].InstanceID = f.ids[1]
			return d
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, tt.minNow, 2)
				tt.before(f)
				plan := f.removal(0)
				if tt.plan != nil {
					plan = tt.plan(f)
				}
				f.ScaleDown(t.Context(), plan)
				f.Wait()
				f.untouched(0, 2)
				f.event(0, "ScaleDown")
			})
		})
	}
}

// One node is drained at a time by default; empty ones are no drains.
func TestDrainsAreBoundedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 4)
		f.Blocked.Store(true)
		var d scaledown.Decision
		for i, pods := range [][]string{{"a"}, {"b"}, nil, nil} {
			for _, p := range pods {
				f.addPod(p, nodeName(i))
			}
			d.Remove = append(d.Remove, f.removal(i, pods...).Remove...)
		}
		f.ScaleDown(t.Context(), d)
		synctest.Wait()
		if n := f.Removing(); n != 3 {
			t.Errorf("%d removals under way, want one drain and two empty nodes", n)
		}
		if kube.Marked(f.node(1)) {
			t.Error("a second node is drained")
		}
		f.Wait()
	})
}

// A drained node's instance ends once the volumes of the pods that left are detached, or
// when the time for that is over. A DaemonSet's volume goes with the node.
func TestRemovalWaitsForVolumes(t *testing.T) {
	for name, tt := range map[string]struct {
		detached   time.Duration // 0 for never
		daemon     bool
		elsewhere  bool
		least, end time.Duration
	}{
		"detached":        {detached: 30 * time.Second, least: 30 * time.Second, end: 40 * time.Second},
		"never detached":  {least: 2 * time.Minute, end: 130 * time.Second},
		"of a daemon":     {daemon: true, end: 10 * time.Second},
		"of another node": {elsewhere: true, end: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 2)
				p := f.addPod("db", nodeName(0))
				if tt.daemon {
					p = p.DeepCopy()
					p.Annotations = map[string]string{kube.DaemonSetPodAnnotation: "true"}
					p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
					f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, p.Namespace))
				}
				volume, node := "pv-1", nodeName(0)
				if tt.elsewhere {
					node = nodeName(1)
				}
				f.ok(f.kube.Tracker().Add(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume},
					Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: p.Namespace, Name: "data"}}}))
				f.ok(f.kube.Tracker().Add(&storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "va"},
					Spec: storagev1.VolumeAttachmentSpec{NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume}}}))
				began := time.Now()
				if tt.detached > 0 {
					time.AfterFunc(tt.detached, func() {
						f.ok(f.kube.Tracker().Delete(storagev1.SchemeGroupVersion.WithResource("volumeattachments"), "", "va"))
					})
				}
				f.ScaleDown(t.Context(), f.removal(0, "db"))
				f.Wait()
				if took := time.Since(began); took < tt.least || took > tt.end {
					t.Errorf("the instance ended after %s, want %s to %s", took, tt.least, tt.end)
				}
				f.event(1, "ScaleDown", "drained and terminated instance "+f.ids[0])
			})
		})
	}
}

// An operator's annotation counts until the last moment.
func TestOperatorKeepsTheNode(t *testing.T) {
	keep := func(n *corev1.Node) {
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, "cluster-autoscaler.kubernetes.io/scale-down-disabled", "true")
	}
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, 0, 2)
			if !late {
				f.change(0, keep)
			}
			f.ScaleDown(t.Context(), f.removal(0))
			synctest.Wait()
			if late {
				f.change(0, keep)
			}
			f.Wait()
			if n, g := f.node(0), f.groups()[0]; kube.Marked(n) || n.Spec.Unschedulable || g.Desired != 2 {
				t.Errorf("late %v: tainted %v, cordoned %v, desired %d: want the node as before", late, n.Spec.Taints, n.Spec.Unschedulable, g.Desired)
			}
		})
	}
}

// An agent that died is no obstacle, as in the plan; a hold of its node stays one.
func TestOldReportOfPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 2)
		for i, reason := range []v1alpha1.ReadyReason{v1alpha1.PodsRunning, v1alpha1.HoldFile} {
			f.change(i, says(corev1.ConditionFalse, reason))
			f.change(i, func(n *corev1.Node) {
				n.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(time.Now().Add(-time.Hour))
			})
			f.ScaleDown(t.Context(), f.removal(i))
		}
		f.Wait()
		f.untouched(1, 1)
		f.event(1, "ScaleDown", "drained and terminated instance "+f.ids[0])
	})
}

func TestParallelRemovalsKeepTheMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2, 5)
		var d scaledown.Decision
		for i := range 5 {
			d.Remove = append(d.Remove, f.removal(i).Remove...)
		}
		f.ScaleDown(t.Context(), d)
		f.Wait()
		if g := f.groups()[0]; g.Desired != 2 {
			t.Errorf("desired is %d, want the minimum of 2", g.Desired)
		}
		// The two that stay were never drained: their place was refused before.
		f.event(0, "ScaleDownFailed")
	})
}

func TestRollBackKeepsAnOperatorsCordon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 1)
		f.change(0, func(n *corev1.Node) {
			n.Spec.Unschedulable = true
			n.Spec.Taints = []corev1.Taint{{Key: "mine", Effect: corev1.TaintEffectNoSchedule}}
		})
		f.ScaleDown(t.Context(), f.removal(0))
		synctest.Wait()
		f.addPod("late", nodeName(0))
		f.Wait()
		if n := f.node(0); !n.Spec.Unschedulable || len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Key != "mine" {
			t.Errorf("node is cordoned %v, tainted %v: want the operator's cordon and taint", n.Spec.Unschedulable, n.Spec.Taints)
		}
	})
}

// A controller that dies during a removal leaves the mark; the next one takes it
// back, unless the instance is on its way out.
func TestAbandonedRemovalIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 2)
		ctx, die := context.WithCancel(t.Context())
		f.ScaleDown(ctx, f.removal(0))
		synctest.Wait()
		die()
		f.Wait()
		if !kube.Marked(f.node(0)) {
			t.Fatal("the mark is gone though nobody took the removal back")
		}
		f.change(0, func(*corev1.Node) {})
		f.ok(f.TakeBack(t.Context(), f.groups(), f.bindings()))
		f.untouched(0, 2)

		f.ScaleDown(t.Context(), f.removal(1))
		synctest.Wait()
		f.change(1, func(*corev1.Node) {})
		f.ok(f.TakeBack(t.Context(), f.groups(), f.bindings()))
		f.Wait()
		f.ok(f.TakeBack(t.Context(), f.groups(), f.bindings()))
		if !kube.Marked(f.node(1)) {
			t.Error("the mark was taken off a removal under way")
		}
	})
}

func TestMarkStaysOnANodeWhoseInstanceLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 2)
		ctx, die := context.WithCancel(t.Context())
		f.ScaleDown(ctx, f.removal(0))
		synctest.Wait()
		die()
		f.Wait()
		f.change(0, func(*corev1.Node) {})
		f.ok(f.client.Terminate(t.Context(), "workers", f.ids[0]))
		f.ok(f.TakeBack(t.Context(), f.groups(), f.bindings()))
		if !kube.Marked(f.node(0)) {
			t.Error("the mark was taken off a node whose instance is on its way out")
		}
	})
}

// Another part of the controller drains a node whose instance its group ends. Its
// mark must survive a picture of the groups that is older than it.
func TestMarkStaysWhenTheGroupsAreOlderThanIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 2)
		old := f.groups()
		_, err := autoscaling.NewFromConfig(f.aws.Config("operator")).PutLifecycleHook(t.Context(), &autoscaling.PutLifecycleHookInput{
			AutoScalingGroupName: aws.String("workers"), LifecycleHookName: aws.String("joinery-terminate"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_TERMINATING"),
		})
		f.ok(err)
		f.ok(f.client.Terminate(t.Context(), "workers", f.ids[0]))
		for _, i := range []int{0, 1} {
			f.change(i, func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
			})
		}
		bubble.Sleep(time.Second)
		f.ok(f.TakeBack(t.Context(), old, f.bindings()))
		if !kube.Marked(f.node(0)) {
			t.Error("the mark was taken off a node whose instance its group ends")
		}
		if kube.Marked(f.node(1)) {
			t.Error("the mark of an abandoned removal stays")
		}
	})
}

func TestUnneededIsRecordedWhereItDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 3)
		since := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		f.change(1, func(n *corev1.Node) {
			n.Labels = map[string]string{v1alpha1.UnneededSinceLabel: "1777636800"}
		})
		f.change(2, func(n *corev1.Node) {
			n.Labels = map[string]string{v1alpha1.UnneededSinceLabel: "1777633200"}
		})
		f.kube.ClearActions()
		f.ok(f.RecordUnneeded(t.Context(), scaledown.Decision{
			Unneeded: map[string]time.Time{nodeName(0): since, nodeName(1): since, "gone": since},
			Needed:   []scaledown.NodeReason{{Node: nodeName(2), Cause: scaledown.BlockedByPod}},
		}))
		if n := len(f.kube.Actions()); n != 2 {
			t.Errorf("%d writes, want 2", n)
		}
		for i, want := range []string{"1777636800", "1777636800", ""} {
			if got := f.node(i).Labels[v1alpha1.UnneededSinceLabel]; got != want {
				t.Errorf("%s says %q, want %q", nodeName(i), got, want)
			}
		}
	})
}
