package attack_test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/image"
)

// Root on one worker registers its Node with the provider id of its neighbour, which
// has work, and says Idle. The neighbour's instance and its pod stay; the Node goes.
func TestLiarClaimsItsNeighbour(t *testing.T) {
	s := open(t)
	victim, liar := s.pair()
	s.occupy("busy", victim)
	stolen := s.overthrow(liar)
	s.deleteNode(liar)
	lie := s.nodeOf(liar)
	lie.Spec.ProviderID = "aws:///" + victim.Zone + "/" + victim.ID
	uid := s.register(stolen, lie)
	s.until("the impostor's Node is removed", func() bool {
		n, err := s.Cluster.Client().CoreV1().Nodes().Get(t.Context(), lie.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err) || err == nil && n.UID != uid
	})
	s.nodeAlarm(lie.Name, "ImpostorNode")
	// As long again as the lie once took to be believed.
	time.Sleep(45 * time.Second)
	if i, err := s.World.Instance(victim.ID); err != nil || i.State != "running" {
		t.Errorf("the neighbour is %s (%v)", i.State, err)
	}
	p, err := s.Cluster.Client().CoreV1().Pods("default").Get(t.Context(), "busy", metav1.GetOptions{})
	if err != nil || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
		t.Errorf("the neighbour's pod is %s (%v)", p.Status.Phase, err)
	}
}

// The key of a kubelet is stolen, its instance ended, and its Node made again with the
// provider id of an instance that is not the thief's: even a control-plane node's. No
// renewal, no serving certificate, and no Node that stays.
func TestStolenKeyOutlivesItsInstance(t *testing.T) {
	s := open(t)
	_, victim := s.pair()
	stolen := s.overthrow(victim)
	ended := s.nodeOf(victim)
	s.World.Terminate(victim.ID)
	s.until("the ended instance's Node is removed", func() bool { return !s.exists(ended.Name) })

	master, err := s.World.InstanceByIP(s.Cluster.Master().IP().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, claimed := range []awssim.Instance{master, victim} {
		n := s.nodeOf(victim)
		n.Spec.ProviderID = "aws:///" + claimed.Zone + "/" + claimed.ID
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: master.PrivateIP}}
		s.register(stolen, n)
		asked := []wish{
			s.ask(stolen, claim{node: n.Name, signer: clientSigner}),
			s.ask(stolen, claim{node: n.Name, signer: servingSigner, names: []string{n.Name}}),
			s.ask(stolen, claim{node: n.Name, signer: servingSigner, names: []string{master.PrivateDNSName}, ips: []net.IP{net.ParseIP(master.PrivateIP)}}),
		}
		s.until("the thief's Node is removed", func() bool { return !s.exists(n.Name) })
		for _, w := range asked {
			if got, cert := s.outcome(w); strings.HasPrefix(got, "Approved") || len(cert) > 0 {
				t.Errorf("claiming %s: %q, with a certificate of %d bytes", claimed.ID, got, len(cert))
			}
		}
	}
}

// An operator deletes the Node of a worker that lives: it joins again with a new proof,
// and is let in under its new UID.
func TestDeletedNodeHeals(t *testing.T) {
	s := open(t)
	i := s.member(workers)
	before, err := s.Cluster.Client().CoreV1().Nodes().Get(t.Context(), i.PrivateDNSName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.deleteNode(i)
	s.until("the Node is Ready again, and admitted", func() bool {
		n, err := s.Cluster.Client().CoreV1().Nodes().Get(t.Context(), i.PrivateDNSName, metav1.GetOptions{})
		return err == nil && n.UID != before.UID && ready(n) && n.Labels[binding.AdmittedLabel] == string(n.UID)
	})
	t.Logf("healed in %s", time.Since(began).Round(time.Second))
}

// A node says that it has a resource that no one has: the group does not grow for it.
func TestLiarHasAResourceThatNoOneHas(t *testing.T) {
	s := open(t)
	i := s.member(workers)
	const lie = "example.com/fortune"
	amount := map[string]any{"status": map[string]any{"capacity": map[string]string{lie: "4"}, "allocatable": map[string]string{lie: "4"}}}
	s.patchStatus(s.asNode(i), i.PrivateDNSName, amount)
	defer s.deletePod("greedy")
	s.run("greedy", "", corev1.ResourceList{lie: resource.MustParse("5")})
	time.Sleep(45 * time.Second)
	g, err := s.World.Group(workers)
	if err != nil || g.Desired != 1 {
		t.Errorf("the group's desired capacity is %d (%v)", g.Desired, err)
	}
}

// The thief keeps a Node alive whose instance EC2 ended: it says Ready for as long as
// the thief likes.
func TestLiarOutlivesItsInstance(t *testing.T) {
	s := open(t)
	_, victim := s.pair()
	stolen := s.overthrow(victim)
	n := s.nodeOf(victim)
	s.World.Terminate(victim.ID)
	s.until("the dead instance's Node is removed", func() bool {
		// Whatever the thief says meanwhile.
		_, _ = stolen.CoreV1().Nodes().PatchStatus(t.Context(), n.Name, readyNow(t))
		return !s.exists(n.Name)
	})
}

// liars are the instances of the tests above, in a group of their own.
const liars = "liars"

// pair returns two nodes of the group of liars that have joined.
func (s *scene) pair() (first, second awssim.Instance) {
	s.t.Helper()
	for _, id := range overthrown { // by an earlier test: it joins no more
		s.World.Terminate(id)
	}
	overthrown = nil
	if err := s.putGroup(liars, workers, 0, 2, 4); err != nil {
		s.t.Fatal(err)
	}
	var pair []awssim.Instance
	s.until("two nodes of the group have joined", func() bool {
		g, err := s.World.Group(liars)
		if err != nil {
			s.t.Fatal(err)
		}
		pair = nil
		for _, m := range g.Members {
			i, err := s.World.Instance(m.InstanceID)
			if err != nil || m.Lifecycle != "InService" {
				continue
			}
			n, err := s.Cluster.Client().CoreV1().Nodes().Get(s.t.Context(), i.PrivateDNSName, metav1.GetOptions{})
			if err == nil && ready(n) && n.Labels[binding.AdmittedLabel] == string(n.UID) && kubeletKnows(n, i) {
				pair = append(pair, i)
			}
		}
		return len(pair) >= 2
	})
	// Work keeps them from being scaled down before the lie.
	for k, i := range pair {
		s.occupy(fmt.Sprintf("work-%d", k), i)
	}
	return pair[0], pair[1]
}

func kubeletKnows(n *corev1.Node, i awssim.Instance) bool {
	return strings.HasSuffix(n.Spec.ProviderID, "/"+i.ID)
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// overthrown are the instances on which a test was root.
var overthrown []string

// overthrow is what root on a node does first: it stops agent and kubelet, and takes
// the kubelet's key.
func (s *scene) overthrow(i awssim.Instance) kubernetes.Interface {
	s.t.Helper()
	stolen := s.asNode(i)
	overthrown = append(overthrown, i.ID)
	m, _ := s.Host.Machine(i.ID)
	if out, err := m.Exec(s.t.Context(), "systemctl", "stop", "joinery-agent.service", "kubelet.service"); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return stolen
}

// nodeOf is a Node as the kubelet of that instance would make it, which says Ready and
// Idle.
func (s *scene) nodeOf(i awssim.Instance) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: i.PrivateDNSName},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///" + i.Zone + "/" + i.ID},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: i.PrivateIP}},
			Capacity:  corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("110")},
		},
	}
}

// register makes a Node with a node's own credentials, and has it say Ready and Idle.
func (s *scene) register(client kubernetes.Interface, n *corev1.Node) types.UID {
	s.t.Helper()
	var made *corev1.Node
	s.until("the thief's Node is made", func() (ok bool) {
		var err error
		made, err = client.CoreV1().Nodes().Create(s.t.Context(), n, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			s.t.Fatal(err)
		}
		return err == nil
	})
	status := n.Status.DeepCopy()
	status.Allocatable = status.Capacity
	now := metav1.Now()
	status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now},
		{Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionTrue, Reason: string(v1alpha1.Idle), LastHeartbeatTime: now, LastTransitionTime: now},
	}
	s.patchStatus(client, n.Name, map[string]any{"status": status})
	return made.UID
}

// readyNow is a patch by which a kubelet says Ready.
func readyNow(t *testing.T) []byte {
	t.Helper()
	now := metav1.Now()
	text, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now}}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *scene) patchStatus(client kubernetes.Interface, node string, patch any) {
	s.t.Helper()
	text, err := json.Marshal(patch)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().PatchStatus(s.t.Context(), node, text); err != nil {
		s.t.Fatal(err)
	}
}

// occupy has a pod run on an instance's node, if there is none of that name yet.
func (s *scene) occupy(name string, i awssim.Instance) {
	s.t.Helper()
	s.deletePod(name)
	s.run(name, i.PrivateDNSName, nil)
	s.until("pod "+name+" runs", func() bool {
		p, err := s.Cluster.Client().CoreV1().Pods("default").Get(s.t.Context(), name, metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodRunning
	})
}

// run makes a pod, on a node or where the scheduler puts it.
func (s *scene) run(name, node string, requests corev1.ResourceList) {
	s.t.Helper()
	none, no := int64(0), false
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		NodeName: node, TerminationGracePeriodSeconds: &none, AutomountServiceAccountToken: &no,
		Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Containers: []corev1.Container{{Name: "pause", Image: image.Pause, ImagePullPolicy: corev1.PullNever,
			Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}},
	}}
	if _, err := s.Cluster.Client().CoreV1().Pods("default").Create(s.t.Context(), p, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) deletePod(name string) {
	s.t.Helper()
	now := int64(0)
	err := s.Cluster.Client().CoreV1().Pods("default").Delete(s.t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil && !apierrors.IsNotFound(err) {
		s.t.Fatal(err)
	}
}

func (s *scene) deleteNode(i awssim.Instance) {
	s.t.Helper()
	if err := s.Cluster.Client().CoreV1().Nodes().Delete(s.t.Context(), i.PrivateDNSName, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) exists(node string) bool {
	s.t.Helper()
	_, err := s.Cluster.Client().CoreV1().Nodes().Get(s.t.Context(), node, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		s.t.Fatal(err)
	}
	return err == nil
}

// nodeAlarm waits for a Warning Event about a Node.
func (s *scene) nodeAlarm(node, reason string) {
	s.t.Helper()
	s.until("an Event "+reason+" about "+node, func() bool {
		all, err := s.Cluster.Client().CoreV1().Events(metav1.NamespaceAll).List(s.t.Context(), metav1.ListOptions{
			FieldSelector: "involvedObject.name=" + node + ",reason=" + reason + ",type=" + corev1.EventTypeWarning})
		if err != nil {
			s.t.Fatal(err)
		}
		return len(all.Items) > 0
	})
}
