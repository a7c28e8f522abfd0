package lifecycle_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
)

// putPool gives the group a warm pool: group and pool are to have prepared
// instances together, the pool one at least.
func (s *scene) putPool(group string, prepared int32, reuse bool) {
	s.t.Helper()
	_, err := s.operator().PutWarmPool(s.t.Context(), &autoscaling.PutWarmPoolInput{
		AutoScalingGroupName: &group, MinSize: aws.Int32(1), MaxGroupPreparedCapacity: &prepared, PoolState: types.WarmPoolStateStopped,
		InstanceReusePolicy: &types.InstanceReusePolicy{ReuseOnScaleIn: &reuse},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// requests are the agent's requests for the instance's first certificate.
func (s *scene) requests(i awssim.Instance) []certificatesv1.CertificateSigningRequest {
	s.t.Helper()
	all, err := s.Cluster.Client().CertificatesV1().CertificateSigningRequests().List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(r certificatesv1.CertificateSigningRequest) bool {
		return !strings.HasPrefix(r.Name, "joinery-"+i.PrivateDNSName)
	})
}

// awaitPooled waits until the pool keeps the instance, stopped, without a Node.
func (s *scene) awaitPooled(i awssim.Instance) (states []string) {
	s.t.Helper()
	states = s.awaitState(i, "Warmed:Stopped", launched)
	if m := s.machine(i); m.State() != machine.Stopped || s.instance(i.ID).State != awssim.Stopped {
		s.t.Errorf("its machine is %s, the instance %s", m.State(), s.instance(i.ID).State)
	}
	s.await("it has no Node", launched, func(context.Context) (string, bool) {
		n := s.node(i)
		return fmt.Sprint(n != nil), n == nil
	})
	return states
}

// An instance boots into a warm pool without joining, is stopped, joins when its
// group wants it, and goes back when its group gives it up.
func TestWarmPool(t *testing.T) {
	s := open(t)
	s.putPool(warm, 1, false)
	first := s.instance(s.launched(warm, 1)[0].InstanceID)
	s.awaitState(first, "Warmed:Pending:Wait", launched)
	s.await("its agent waits at the gate", warmUp, func(ctx context.Context) (string, bool) {
		out, err := s.machine(first).Exec(ctx, "systemctl", "show", "--property=StatusText", "--value", "joinery-agent.service")
		return fmt.Sprint(string(out), err), strings.Contains(string(out), "the Auto Scaling group to want the instance in service (it wants Warmed:Stopped)")
	})
	s.awaitPooled(first)
	answer := s.answered(first.ID, launchHook+" CONTINUE")[0]
	if ran := answer.Time.Sub(first.LaunchTime); ran < warmUp {
		t.Errorf("it ran for %s: expected %s", ran, warmUp)
	}
	if n := len(s.requests(first)); n != 0 {
		t.Errorf("it has made %d signing requests", n)
	}
	s.checkDrawn(first)
	s.checkRefilled(first)
	s.checkReturned(first)
	s.checkDrawnAgain(first)
}

// checkDrawn has the group want one instance more: the one that the pool keeps.
func (s *scene) checkDrawn(i awssim.Instance) {
	s.t.Helper()
	s.want(warm, 1)
	states := s.awaitState(i, "InService", launched)
	if !slices.Contains(states, "Pending:Wait") {
		s.t.Errorf("states %q", states)
	}
	again := s.answered(i.ID, launchHook+" CONTINUE", launchHook+" CONTINUE")[1]
	if ready := s.readySince(i); ready.IsZero() || again.Time.Before(ready) {
		s.t.Errorf("answered at %s, Ready since %s", again.Time, ready)
	}
	proven := slices.ContainsFunc(s.requests(i), func(r certificatesv1.CertificateSigningRequest) bool {
		return r.Annotations[v1alpha1.STSProofAnnotation] != "" && len(r.Status.Conditions) == 1 && r.Status.Conditions[0].Reason == "JoineryProven"
	})
	if !proven {
		s.t.Errorf("none of its requests was approved for its proof: %v", s.requests(i))
	}
}

// checkRefilled waits until another instance is in the pool.
func (s *scene) checkRefilled(drawn awssim.Instance) {
	s.t.Helper()
	members := slices.DeleteFunc(s.members(warm), func(m awssim.Member) bool { return m.InstanceID == drawn.ID })
	if len(members) != 1 {
		s.t.Fatalf("members beside %s: %+v", drawn.ID, members)
	}
	i := s.instance(members[0].InstanceID)
	s.awaitPooled(i)
	s.answered(i.ID, launchHook+" CONTINUE")
}

// checkReturned has the group give the instance up to its pool, which drains it
// at the pool's door.
func (s *scene) checkReturned(i awssim.Instance) {
	s.t.Helper()
	s.putPool(warm, 2, true)
	s.runPod("leaving", warm)
	// The controller protects instances in service: the operator takes that away,
	// and at once makes the group smaller, before it is protected again.
	s.unprotect(i)
	s.want(warm, 0)
	states := s.awaitPooled(i)
	if !slices.Contains(states, "Warmed:Pending:Wait") {
		s.t.Errorf("states %q", states)
	}
	s.answered(i.ID, launchHook+" CONTINUE", launchHook+" CONTINUE", terminateHook+" CONTINUE")
	s.told(corev1.EventTypeNormal, "LifecycleContinue", "hook "+terminateHook, "instance "+i.ID, "Drained")
	s.told(corev1.EventTypeNormal, "NodeDeleted", "Node "+i.PrivateDNSName)
	// Its containers have ended; the kubelet may have been stopped before it could
	// take it away.
	pod, err := s.Cluster.Client().CoreV1().Pods(metav1.NamespaceDefault).Get(s.t.Context(), "leaving", metav1.GetOptions{})
	switch ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed; {
	case apierrors.IsNotFound(err):
	case err != nil:
		s.t.Fatal(err)
	case !ended || pod.DeletionTimestamp == nil:
		s.t.Errorf("its pod was left alone: it is %s", pod.Status.Phase)
	}
}

// checkDrawnAgain has the group want all that the pool keeps: who was a node
// before is one again, with a new Node that nothing marks for removal, and without
// another request.
func (s *scene) checkDrawnAgain(i awssim.Instance) {
	s.t.Helper()
	before := len(s.requests(i))
	s.want(warm, 2)
	states := s.awaitState(i, "InService", launched)
	if !slices.Contains(states, "Pending:Wait") {
		s.t.Errorf("states %q", states)
	}
	s.answered(i.ID, launchHook+" CONTINUE", launchHook+" CONTINUE", terminateHook+" CONTINUE", launchHook+" CONTINUE")
	if n := s.node(i); n == nil || n.Spec.Unschedulable || s.readySince(i).Before(s.instance(i.ID).LaunchTime.Truncate(time.Second)) {
		s.t.Errorf("Node %+v", n)
	}
	if n := len(s.requests(i)) - before; n != 0 {
		s.t.Errorf("it asked for %d certificates more", n)
	}
}

// runPod runs a pod that nothing brings back on the group's node.
func (s *scene) runPod(name, group string) {
	s.t.Helper()
	grace := int64(1)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace, NodeSelector: map[string]string{groupLabel: group},
		Containers: []corev1.Container{{Name: "pause", Image: image.Pause, ImagePullPolicy: corev1.PullNever}},
	}}
	pods := s.Cluster.Client().CoreV1().Pods(metav1.NamespaceDefault)
	if _, err := pods.Create(s.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.await("pod "+name+" runs", launched, func(ctx context.Context) (string, bool) {
		now, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		return string(now.Status.Phase), now.Status.Phase == corev1.PodRunning
	})
}

func (s *scene) unprotect(i awssim.Instance) {
	s.t.Helper()
	_, err := s.operator().SetInstanceProtection(s.t.Context(), &autoscaling.SetInstanceProtectionInput{
		AutoScalingGroupName: &i.Group, InstanceIds: []string{i.ID}, ProtectedFromScaleIn: aws.Bool(false)})
	if err != nil {
		s.t.Fatal(err)
	}
}
