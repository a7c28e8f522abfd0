package csr_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// join has the instance join, and its Node become Ready.
func (r *rig) join(t *testing.T) *corev1.Node {
	t.Helper()
	r.askProven(t, "join", r.instance.PrivateDNSName, time.Second)
	r.want(t, "join", "Approved JoineryProven")
	r.putNode(t, r.instance.ID, true)
	bubble.Sleep(time.Second)
	return r.node(t)
}

func (r *rig) node(t *testing.T) *corev1.Node {
	t.Helper()
	n, err := r.Client.CoreV1().Nodes().Get(t.Context(), r.instance.PrivateDNSName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *rig) deleteNode(t *testing.T) {
	t.Helper()
	if err := r.Client.CoreV1().Nodes().Delete(t.Context(), r.instance.PrivateDNSName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// remake makes a Ready Node of the instance's name, as whoever has its key can.
func (r *rig) remake(t *testing.T, uid, providerID string, addresses ...string) {
	t.Helper()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: r.instance.PrivateDNSName, UID: types.UID(uid), CreationTimestamp: metav1.Now()},
		Spec:       corev1.NodeSpec{ProviderID: providerID},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}},
	}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	if _, err := r.Client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bubble.Sleep(time.Second)
}

// drop deletes a request, so that it is not judged for months.
func (r *rig) drop(t *testing.T, name string) {
	t.Helper()
	if err := r.Client.CertificatesV1().CertificateSigningRequests().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	bubble.Sleep(time.Minute)
}

const (
	clientSigner  = certificatesv1.KubeAPIServerClientKubeletSignerName
	servingSigner = certificatesv1.KubeletServingSignerName
)

// The instance was ended and its Node deleted. Whoever took its key makes the Node
// again, as an instance of the VPC that is tagged for nothing, as a control-plane
// node's, as its own that is gone, or as none: it is given nothing, at any time.
func TestStolenKeyOfAnEndedInstance(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		r.join(t)
		other, err := r.AddInstance(awssim.InstanceSpec{})
		if err != nil {
			t.Fatal(err)
		}
		control, err := r.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
		if err != nil {
			t.Fatal(err)
		}
		r.Terminate(r.instance.ID)
		r.deleteNode(t)
		for _, days := range []int{0, 400} {
			bubble.Sleep(time.Duration(days) * 24 * time.Hour)
			for i, lie := range []struct{ providerID, address string }{
				{"aws:///us-west-2a/" + other.ID, other.PrivateIP},
				{"aws:///us-west-2a/" + control.ID, control.PrivateIP},
				{"aws:///us-west-2a/" + other.ID, r.instance.PrivateIP},
				{"aws:///us-west-2a/" + r.instance.ID, r.instance.PrivateIP},
				{"", r.instance.PrivateIP},
				{"", ""},
			} {
				var addresses []string
				if lie.address != "" {
					addresses = append(addresses, lie.address)
				}
				r.remake(t, fmt.Sprint("thief", i), lie.providerID, addresses...)
				for _, signer := range []string{clientSigner, servingSigner} {
					var names []string
					if signer == servingSigner {
						names = []string{other.PrivateDNSName}
					}
					r.kubelet(t, "stolen", signer, "X509SHA256=stolen", names...)
					bubble.Sleep(3 * time.Minute)
					if got := r.outcome(t, "stolen"); strings.Contains(got, "Approved") {
						t.Errorf("after %d days as %q at %q: %s for %s", days, lie.providerID, lie.address, got, signer)
					}
					r.drop(t, "stolen")
				}
				r.deleteNode(t)
			}
		}
	})
}

// A Node that lies has the name of an instance that is about to join. It goes, and
// the instance joins.
func TestLiarNameTaken(t *testing.T) {
	for name, lie := range map[string]func(r *rig, neighbour awssim.Instance) (providerID, address string){
		"claims a neighbour": func(_ *rig, n awssim.Instance) (string, string) { return "aws:///us-west-2a/" + n.ID, n.PrivateIP },
		"claims a neighbour from afar": func(r *rig, n awssim.Instance) (string, string) {
			return "aws:///us-west-2a/" + n.ID, r.instance.PrivateIP
		},
		"claims nothing": func(*rig, awssim.Instance) (string, string) { return "", "10.99.0.250" },
		"claims an instance of nowhere": func(r *rig, _ awssim.Instance) (string, string) {
			return "aws:///us-west-2a/" + goneID, r.instance.PrivateIP
		},
		"claims it from elsewhere": func(r *rig, _ awssim.Instance) (string, string) {
			return "aws:///us-west-2a/" + r.instance.ID, "10.99.0.250"
		},
	} {
		t.Run(name, func(t *testing.T) {
			withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
				neighbour, err := r.AddInstance(awssim.InstanceSpec{})
				if err != nil {
					t.Fatal(err)
				}
				providerID, address := lie(r, neighbour)
				r.remake(t, "liar", providerID, address)
				r.askProven(t, "honest", r.instance.PrivateDNSName, 3*time.Minute)
				r.want(t, "honest", "Approved JoineryProven")
				alarmed := false
				for len(r.Events.Events) > 0 {
					alarmed = strings.HasPrefix(<-r.Events.Events, "Warning HoldImpostorNode") || alarmed
				}
				if !alarmed {
					t.Error("no alarm was raised")
				}
				r.putNode(t, r.instance.ID, true)
				bubble.Sleep(time.Second)
				r.kubelet(t, "renewal", clientSigner, "X509SHA256=own")
				r.want(t, "renewal", "Approved JoineryRenewed")
			})
		})
	}
}

// What an operator vouches for keeps its name.
func TestAdoptedNodeKeepsItsName(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		r.remake(t, "old", "", "192.0.2.7")
		records := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: binder.RecordsName}, Data: map[string]string{r.instance.PrivateDNSName: `{"uid":"old"`}}
		records, err := r.Client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), records, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.askProven(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "") // it cannot be read whether the node was adopted
		records.Data[r.instance.PrivateDNSName] = `{"uid":"old"}`
		if _, err := r.Client.CoreV1().ConfigMaps("kube-system").Update(t.Context(), records, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(15 * time.Second)
		r.want(t, "a", "Denied JoineryNameTaken")
		r.kubelet(t, "renewal", clientSigner, "X509SHA256=own")
		r.want(t, "renewal", "Approved JoineryRenewed")
	})
}

// kubectl delete node on a living instance: it joins again by a proof, long after
// its launch, and so often and no more.
func TestDeletedNodeJoinsAgain(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		first := r.join(t)
		if first.Labels[binding.AdmittedLabel] != "n1" {
			t.Errorf("labels of the admitted node: %v", first.Labels)
		}
		bubble.Sleep(100 * 24 * time.Hour)
		want := []string{"Approved JoineryRejoined", "Approved JoineryRejoinedAgain", "Denied JoineryTooManyGrants"}
		for i, want := range want {
			r.deleteNode(t)
			name := fmt.Sprint("again", i)
			r.askProven(t, name, r.instance.PrivateDNSName, 2*time.Second)
			r.want(t, name, want)
			uid := fmt.Sprint("made again ", i)
			r.remake(t, uid, "aws:///us-west-2a/"+r.instance.ID, r.instance.PrivateIP)
			if admitted := r.node(t).Labels[binding.AdmittedLabel] == uid; admitted != strings.HasPrefix(want, "Approved") {
				t.Errorf("rejoin %d: admitted %t", i, admitted)
			}
		}
		r.kubelet(t, "not admitted", clientSigner, "X509SHA256=own")
		r.want(t, "not admitted", "")
		// An hour later its agent asks once more. The Node is Ready and stays so.
		bubble.Sleep(time.Hour)
		r.askProven(t, "later", r.instance.PrivateDNSName, 15*time.Second)
		r.want(t, "later", "Approved JoineryRejoined")
		r.want(t, "not admitted", "Approved JoineryRenewed")
		r.askProven(t, "once more", r.instance.PrivateDNSName, 2*time.Second)
		r.want(t, "once more", "Denied JoineryAlreadyJoined")
	})
}

// A proof is of no use for the Node of another instance, nor without the right
// state of its own.
func TestRejoinOfAnInstanceThatLeaves(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		r.join(t)
		r.deleteNode(t)
		made := r.request(t, r.instance.PrivateDNSName)
		made.Annotations = map[string]string{v1alpha1.STSProofAnnotation: r.prove(t, made.Spec.Request)}
		r.Terminate(r.instance.ID)
		r.Settle() // a verdict is as new as what AWS shows
		r.send(t, "leaving", made, 5*time.Minute)
		if got := r.outcome(t, "leaving"); !strings.HasPrefix(got, "Denied") {
			t.Errorf("got %q", got)
		}
	})
}

// A request that is held because its Node was never admitted costs EC2 nothing.
func TestNotAdmittedAsksEC2Once(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		r.putNode(t, r.instance.ID, true)
		r.kubelet(t, "old", clientSigner, "X509SHA256=own")
		bubble.Sleep(time.Minute)
		r.ForgetCalls()
		bubble.Sleep(time.Hour)
		r.want(t, "old", "")
		if n := len(r.CallsTo("ec2", "DescribeInstances")); n != 0 {
			t.Errorf("EC2 was asked %d times in an hour", n)
		}
		var told []string
		for len(r.Events.Events) > 0 {
			told = append(told, <-r.Events.Events)
		}
		if len(told) != 1 || !strings.Contains(told[0], "HoldNotAdmitted") || !strings.Contains(told[0], "joinery adopt "+r.instance.PrivateDNSName) {
			t.Errorf("events %q", slices.Compact(told))
		}
	})
}
