package invariant_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/soak/invariant"
)

var begin = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// role is the controllers', and masterID the instance of the control plane.
const role, masterID = "controller", "i-0fedcba9876543210"

func terms() invariant.Terms {
	return invariant.Terms{ControllerRole: role, Masters: map[string]string{masterID: "master"}, Kept: map[string]string{}}
}

func node(id, name string) corev1.Node {
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec:       corev1.NodeSpec{ProviderID: kube.ProviderID("us-west-2a", id)},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
}

func instance(id, name, group string) awssim.Instance {
	return awssim.Instance{ID: id, PrivateDNSName: name, Group: group, State: awssim.Running}
}

// well is a cluster at its minimum: a control-plane node, and one of a group.
func well(at time.Time) *invariant.Snapshot {
	master := node(masterID, "master")
	master.Labels = map[string]string{kube.ControlPlaneLabel: ""}
	return &invariant.Snapshot{
		At:        at,
		Nodes:     []corev1.Node{master, node("i-0123456789abcdef0", "worker")},
		Instances: []awssim.Instance{instance(masterID, "master", ""), instance("i-0123456789abcdef0", "worker", "g")},
		Groups: []awssim.Group{{GroupSpec: awssim.GroupSpec{Name: "g", Min: 1, Max: 2, Desired: 1},
			Members: []awssim.Member{{InstanceID: "i-0123456789abcdef0", Lifecycle: "InService"}}}},
		Machines:    []string{masterID, "i-0123456789abcdef0"},
		Controllers: map[string]invariant.Controller{"master": {Answers: true, Leads: true, ResidentMiB: 60}},
	}
}

// faults are snapshots of a cluster in which something is wrong, and what says so.
var faults = map[string]struct {
	invariant string
	spoil     func(*testing.T, *invariant.Snapshot)
}{
	"API server silent": {"the API server answers", func(_ *testing.T, s *invariant.Snapshot) { s.API = errors.New("refused") }},
	"no token":          {"the published token is good", func(_ *testing.T, s *invariant.Snapshot) { s.Token = errors.New("expired") }},
	"two leaders": {"one controller leads", func(_ *testing.T, s *invariant.Snapshot) {
		s.Controllers["other"] = invariant.Controller{Answers: true, Leads: true}
	}},
	"no leader": {"some controller leads", func(_ *testing.T, s *invariant.Snapshot) {
		s.Controllers["master"] = invariant.Controller{Answers: true}
	}},
	"unsound plan": {"plans are sound", func(_ *testing.T, s *invariant.Snapshot) {
		s.Controllers["master"] = invariant.Controller{Leads: true, Problems: 1}
	}},
	"large controller": {"a controller stays small", func(_ *testing.T, s *invariant.Snapshot) {
		s.Controllers["master"] = invariant.Controller{Leads: true, ResidentMiB: 201}
	}},
	"master ended":        {"no control-plane instance is touched", func(_ *testing.T, s *invariant.Snapshot) { s.Instances[0].State = awssim.ShuttingDown }},
	"master cordoned":     {"no control-plane instance is touched", func(_ *testing.T, s *invariant.Snapshot) { s.Nodes[0].Spec.Unschedulable = true }},
	"master's Node":       {"no control-plane instance is touched", func(_ *testing.T, s *invariant.Snapshot) { s.Nodes = s.Nodes[1:] }},
	"master to be ended":  {"no control-plane instance is touched", func(_ *testing.T, s *invariant.Snapshot) { s.Calls = []awssim.Call{terminate(masterID)} }},
	"kept ended":          {"what is kept stays", func(_ *testing.T, s *invariant.Snapshot) { s.Calls = []awssim.Call{terminate(kept)} }},
	"kept gone":           {"what is kept stays", func(_ *testing.T, s *invariant.Snapshot) { s.Instances[1].State = awssim.Stopped }},
	"above maximum asked": {"capacity is asked for within the group's bounds", func(_ *testing.T, s *invariant.Snapshot) { s.Calls = []awssim.Call{size("3")} }},
	"below minimum asked": {"capacity is asked for within the group's bounds", func(_ *testing.T, s *invariant.Snapshot) { s.Calls = []awssim.Call{size("0")} }},
	"too many": {"a group has no more than its maximum", func(_ *testing.T, s *invariant.Snapshot) {
		s.Groups[0].Members = slices.Repeat(s.Groups[0].Members, 3)
	}},
	"none usable": {"a group has its minimum usable", func(_ *testing.T, s *invariant.Snapshot) {
		s.Nodes[1].Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint}}
	}},
	"launches": {"launches are bounded", func(_ *testing.T, s *invariant.Snapshot) {
		for n := range 41 {
			s.Instances = append(s.Instances, instance(fmt.Sprint("i-", n), fmt.Sprint("n", n), "g"))
		}
	}},
	"one name twice": {"an identity is one instance's", func(_ *testing.T, s *invariant.Snapshot) {
		s.Instances = append(s.Instances, instance("i-other", "worker", "g"))
	}},
	"one instance twice": {"an identity is one instance's", func(_ *testing.T, s *invariant.Snapshot) {
		s.Nodes = append(s.Nodes, node("i-0123456789abcdef0", "impostor"))
	}},
	"no instance": {"a Node has an instance", func(_ *testing.T, s *invariant.Snapshot) { s.Instances = s.Instances[:1] }},
	"not Ready":   {"a Node is Ready", func(_ *testing.T, s *invariant.Snapshot) { s.Nodes[1].Status.Conditions = nil }},
	"marked": {"a removal ends", func(_ *testing.T, s *invariant.Snapshot) {
		s.Nodes[1].Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint}}
	}},
	"pending": {"what can run runs", func(_ *testing.T, s *invariant.Snapshot) {
		s.Pods = []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodPending}}}
	}},
	"ending": {"what ends has ended", func(_ *testing.T, s *invariant.Snapshot) {
		s.Pods = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: begin}}}}
	}},
	"stranger": {"only instances get certificates", func(t *testing.T, s *invariant.Snapshot) {
		s.Requests = []certificatesv1.CertificateSigningRequest{request(t, "stranger", certificatesv1.CertificateApproved)}
	}},
	"machine left": {"a machine is an instance's", func(_ *testing.T, s *invariant.Snapshot) { s.Machines = append(s.Machines, "i-old") }},
}

const kept = "i-0123456789abcdef0"

func terminate(id string) awssim.Call {
	return awssim.Call{Principal: role, Action: "TerminateInstanceInAutoScalingGroup", Params: map[string]string{"InstanceId": id}}
}

func size(n string) awssim.Call {
	return awssim.Call{Principal: role, Action: "SetDesiredCapacity", Params: map[string]string{"AutoScalingGroupName": "g", "DesiredCapacity": n}}
}

func request(t *testing.T, node string, condition certificatesv1.RequestConditionType) certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: kube.NodeUser(node)}}, key)
	if err != nil {
		t.Fatal(err)
	}
	r := certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}}
	if condition != "" {
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: condition}}
	}
	return r
}

// Each fault is found by its invariant: at once where it may never be, and where it may
// be for a time, when it lasts longer and not before.
func TestEveryInvariantFindsItsFault(t *testing.T) {
	covered := map[string]bool{}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			n := slices.IndexFunc(invariant.All, func(i invariant.Invariant) bool { return i.Name == f.invariant })
			if n < 0 {
				t.Fatalf("no invariant %q", f.invariant)
			}
			covered[f.invariant] = true
			w := invariant.NewWatch(terms())
			w.Kept = map[string]string{kept: "a test"}
			if found := w.See(well(begin)); len(found) > 0 {
				t.Fatalf("a cluster that is well: %v", found)
			}
			within := invariant.All[n].Within
			see := func(after time.Duration) bool {
				s := well(begin.Add(after))
				f.spoil(t, s)
				return slices.ContainsFunc(w.See(s), func(v invariant.Violation) bool { return v.Invariant == f.invariant })
			}
			if at := time.Second; see(at) != (within == 0) {
				t.Errorf("at once: expected a violation: %t", within == 0)
			}
			if within > 0 && (see(within) || !see(within+2*time.Second)) {
				t.Error("expected a violation when it has lasted too long, and not before")
			}
			if see(within + 3*time.Second) {
				t.Error("told twice")
			}
		})
	}
	for _, i := range invariant.All {
		if !covered[i.Name] {
			t.Errorf("%q is broken by no fault here", i.Name)
		}
	}
}

// What is well again is forgotten: two short faults are no long one.
func TestShortFaultsAddUpToNothing(t *testing.T) {
	w := invariant.NewWatch(terms())
	for n := range 1000 {
		s := well(begin.Add(time.Duration(n) * time.Minute))
		if n%2 == 1 {
			s.Token = errors.New("none")
		}
		if found := w.See(s); len(found) > 0 {
			t.Fatalf("minute %d: %v", n, found)
		}
	}
}

// A cluster at its minimum has nothing left over; what is left over is found.
func TestLeft(t *testing.T) {
	w := invariant.NewWatch(terms())
	w.See(well(begin))
	if left := w.Left(well(begin)); len(left) > 0 {
		t.Errorf("at its minimum: %v", left)
	}
	waits := request(t, "worker", "")
	for name, spoil := range map[string]func(*invariant.Snapshot){
		"desired": func(s *invariant.Snapshot) { s.Groups[0].Desired = 2 },
		"member": func(s *invariant.Snapshot) {
			s.Groups[0].Members = append(s.Groups[0].Members, awssim.Member{InstanceID: "i-x", Lifecycle: "Pending"})
		},
		"suspended": func(s *invariant.Snapshot) { s.Groups[0].Suspended = []string{"Launch"} },
		"in the pool": func(s *invariant.Snapshot) {
			s.Groups[0].Members = append(s.Groups[0].Members, awssim.Member{InstanceID: "i-x", Lifecycle: "Warmed:Pending:Wait"})
		},
		"ending": func(s *invariant.Snapshot) {
			s.Groups[0].Members = append(s.Groups[0].Members, awssim.Member{InstanceID: "i-x", Lifecycle: "Terminating:Wait"})
		},
		"own instance": func(s *invariant.Snapshot) { s.Instances = append(s.Instances, instance("i-x", "x", "")) },
		"machine":      func(s *invariant.Snapshot) { s.Machines = append(s.Machines, "i-x") },
		"pod": func(s *invariant.Snapshot) {
			s.Pods = []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}
		},
		"request":    func(s *invariant.Snapshot) { s.Requests = []certificatesv1.CertificateSigningRequest{waits} },
		"cordoned":   func(s *invariant.Snapshot) { s.Nodes[1].Spec.Unschedulable = true },
		"annotation": func(s *invariant.Snapshot) { s.Nodes[1].Annotations = map[string]string{kube.DrainingAnnotation: "x"} },
		"candidate": func(s *invariant.Snapshot) {
			s.Nodes[1].Spec.Taints = []corev1.Taint{{Key: kube.DeletionCandidateTaint}}
		},
		"no controller": func(s *invariant.Snapshot) { s.Controllers["other"] = invariant.Controller{} },
		"master":        func(s *invariant.Snapshot) { s.Nodes[0].Status.Conditions = nil },
		"token":         func(s *invariant.Snapshot) { s.Token = errors.New("none") },
	} {
		s := well(begin)
		spoil(s)
		if left := w.Left(s); len(left) == 0 {
			t.Errorf("%s: nothing is left over", name)
		}
	}
	s := well(begin)
	waits.Spec.Username = kube.NodeUser("master")
	s.Requests = []certificatesv1.CertificateSigningRequest{waits}
	if left := w.Left(s); len(left) > 0 {
		t.Errorf("a control-plane node's request is an administrator's to decide on: %v", left)
	}
	s.Requests[0].Spec.Username = kube.BootstrapUserPrefix + "joinr1"
	if left := w.Left(s); len(left) > 0 {
		t.Errorf("what was asked for with a revoked token is left alone: %v", left)
	}
	s.Secrets = map[string]bool{"bootstrap-token-joinr1": true}
	if left := w.Left(s); len(left) == 0 {
		t.Error("a live token's request waits, and nothing is left over")
	}
}
