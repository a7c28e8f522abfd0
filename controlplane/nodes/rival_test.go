package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func TestNodeOfAnInstanceThatWentBackIntoTheWarmPool(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
		group := awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 1, Desired: 1, WarmPool: &awssim.WarmPool{ReuseOnScaleIn: true},
			Tags: []awssim.Tag{{Key: v1alpha1.ClusterTag, Value: "demo", Propagate: true}}}
		if err := r.PutGroup(group); err != nil {
			t.Fatal(err)
		}
		instance := r.Instances()[0].ID
		byHand := r.launch(t)
		r.Halted(byHand)
		r.put(t, newNode("by-hand", byHand, false))
		r.put(t, newNode("pooled", instance, false))
		r.Wake()
		r.want(t, "while it is in service", "by-hand", "pooled")
		group.Desired = 0
		if err := r.PutGroup(group); err != nil {
			t.Fatal(err)
		}
		r.Wake()
		bubble.Sleep(2 * time.Second)
		r.want(t, "when it went back", "by-hand")
	})
}

// keepUIDs makes the API server in memory heed the precondition of a deletion.
func (r *rig) keepUIDs(t *testing.T) {
	nodes := corev1.SchemeGroupVersion.WithResource("nodes")
	r.Client.PrependReactor("delete", "nodes", func(a clienttesting.Action) (bool, runtime.Object, error) {
		d, ok := a.(clienttesting.DeleteActionImpl)
		if !ok || d.DeleteOptions.Preconditions == nil || d.DeleteOptions.Preconditions.UID == nil {
			t.Error("a deletion without precondition")
			return false, nil, nil
		}
		o, err := r.Client.Tracker().Get(nodes, "", d.GetName())
		if err != nil {
			return true, nil, err
		}
		if n := o.(*corev1.Node); n.UID != *d.DeleteOptions.Preconditions.UID {
			return true, nil, apierrors.NewConflict(nodes.GroupResource(), d.GetName(), fmt.Errorf("the UID in the precondition is not that of the Node"))
		}
		return true, nil, r.Client.Tracker().Delete(nodes, "", d.GetName())
	})
}

// TestCloudControllerManager: another actor deletes the Nodes of instances that
// are gone, and kubelets of new instances take their names, at the same moments.
// No Node of a living instance is lost, and none of a dead one stays.
func TestCloudControllerManager(t *testing.T) {
	for seed := range uint64(8) {
		withRig(t, func(t *testing.T, r *rig) {
			r.keepUIDs(t)
			random := rand.New(rand.NewPCG(seed, 1))
			api := r.Client.Tracker()
			nodes := corev1.SchemeGroupVersion.WithResource("nodes")
			serial, instance := 0, make([]string, 6)
			join := func(i int) {
				serial++
				instance[i] = r.launch(t)
				n := newNode(fmt.Sprintf("node-%d", i), instance[i], false) // not Ready yet: a suspect
				n.UID = types.UID(fmt.Sprint(serial))
				if err := api.Create(nodes, n, ""); err != nil && !apierrors.IsAlreadyExists(err) {
					t.Fatal(err)
				} else if err != nil { // the old one is still there: as a kubelet, wait for its end
					_ = api.Delete(nodes, "", n.Name)
					if err := api.Create(nodes, n, ""); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range instance {
				join(i)
			}
			for range 60 {
				i := random.IntN(len(instance))
				r.Terminate(instance[i])
				if random.IntN(2) == 0 {
					r.Wake()
				}
				bubble.Sleep(time.Duration(random.IntN(3)) * time.Second)
				if random.IntN(2) == 0 { // the cloud controller manager was faster
					_ = api.Delete(nodes, "", fmt.Sprintf("node-%d", i))
				}
				join(i)
			}
			dead := random.IntN(len(instance))
			r.Terminate(instance[dead])
			bubble.Sleep(time.Minute)
			list, err := r.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Items) != len(instance)-1 {
				t.Errorf("seed %d: %d nodes left, expected those of the %d instances that live", seed, len(list.Items), len(instance)-1)
			}
			for _, n := range list.Items {
				if n.Name == fmt.Sprintf("node-%d", dead) {
					t.Errorf("seed %d: %s stays", seed, n.Name)
				}
			}
		})
	}
}
