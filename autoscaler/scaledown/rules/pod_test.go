package rules_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const prefix = "cluster-autoscaler.kubernetes.io/"

// edit is a change to a pod of a ReplicaSet that runs.
type edit = func(*corev1.Pod)

// running makes the pod with the edits, which come after all else.
func running(edits ...edit) *corev1.Pod {
	pod := ct.Running("p", "node-1", "1", "1Gi")
	for _, e := range edits {
		e(pod)
	}
	return pod
}

func bare(p *corev1.Pod)      { p.OwnerReferences = nil }
func system(p *corev1.Pod)    { p.Namespace = "kube-system" }
func always(*corev1.Pod) bool { return true }

func phase(ph corev1.PodPhase) edit { return func(p *corev1.Pod) { p.Status.Phase = ph } }

func endsAgo(d time.Duration) edit {
	return func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now.Add(-d)} }
}

func madeAgo(d time.Duration) edit {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-d)) }
}

func startedAgo(d time.Duration) edit {
	return func(p *corev1.Pod) { p.Status.StartTime = &metav1.Time{Time: now.Add(-d)} }
}

func graceOf(seconds int64) edit {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

func disrupt(value string) edit { return ct.Annotation("karpenter.sh/do-not-disrupt", value) }

func emptyDir(name string, medium corev1.StorageMedium) edit {
	return ct.Volume(name, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium}})
}

func replicas(n int32, found bool) func(types.UID) (int32, bool) {
	return func(types.UID) (int32, bool) { return n, found }
}

func TestJudge(t *testing.T) {
	mirrored := ct.Annotation(corev1.MirrorPodAnnotationKey, "x")
	daemon := ct.OwnedBy("DaemonSet", "d")
	selfStyled := ct.Annotation(prefix+"daemonset-pod", "true")
	safe := func(v string) edit { return ct.Annotation(prefix+"safe-to-evict", v) }
	volumes := func(v string) edit { return ct.Annotation(prefix+"safe-to-evict-local-volumes", v) }
	dsEviction := func(v string) edit { return ct.Annotation(prefix+"enable-ds-eviction", v) }
	hostPath := ct.Volume("host", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}})
	claims := rules.Context{Unsupported: func(*corev1.Pod) string { return "it has a claim" }}
	atLeast2 := func(n int32, found bool) rules.Context {
		return rules.Context{Options: rules.Options{MinReplicaCount: 2}, Owner: replicas(n, found)}
	}
	gone := rules.Context{Owner: replicas(0, false)}
	ofAPI := func(version string) edit { return func(p *corev1.Pod) { p.OwnerReferences[0].APIVersion = version } }
	tests := []struct {
		name string
		pod  []edit
		c    rules.Context
		want rules.Outcome
		rule string
	}{
		{name: "a pod of a ReplicaSet", want: rules.Move},

		{name: "mirror", pod: []edit{mirrored, bare, system}, want: rules.Ignore, rule: "mirror"},

		{name: "succeeded", pod: []edit{bare, phase(corev1.PodSucceeded)}, want: rules.Ignore, rule: "terminal"},
		{name: "failed", pod: []edit{bare, phase(corev1.PodFailed)}, want: rules.Ignore, rule: "terminal"},
		{name: "pending is not terminal", pod: []edit{bare, phase(corev1.PodPending)}, want: rules.Block, rule: "controller"},

		{name: "ending, time left", pod: []edit{endsAgo(-time.Minute)}, want: rules.Block, rule: "ending"},
		{name: "ending, overdue by 30 s", pod: []edit{endsAgo(30 * time.Second)}, want: rules.Block, rule: "ending"},
		{name: "ending, overdue by more", pod: []edit{bare, endsAgo(31 * time.Second)}, want: rules.Ignore, rule: "ending"},
		{name: "ending and safe to evict", pod: []edit{endsAgo(0), safe("true")}, want: rules.Block, rule: "ending"},
		{name: "ending and expendable", pod: []edit{endsAgo(0), ct.Priority(-11)}, want: rules.Block, rule: "ending"},
		{name: "ending daemon is not evicted again", pod: []edit{daemon, dsEviction("true"), endsAgo(0)}, want: rules.Ignore, rule: "ending"},
		{name: "ending self-styled daemon", pod: []edit{selfStyled, endsAgo(0)}, want: rules.Ignore, rule: "ending"},

		{name: "daemon", pod: []edit{daemon, system}, want: rules.Ignore, rule: "daemonset"},
		{name: "daemon that is not safe to evict", pod: []edit{daemon, safe("false")}, want: rules.Ignore, rule: "daemonset"},
		{name: "daemon to be evicted", pod: []edit{daemon, dsEviction("true")}, want: rules.Evict, rule: "daemonset"},
		{name: "daemon not to be evicted", pod: []edit{daemon, dsEviction("false")}, want: rules.Ignore, rule: "daemonset"},
		{name: "self-styled daemon", pod: []edit{bare, selfStyled}, want: rules.Ignore, rule: "daemonset"},
		{name: "self-styled daemon to be evicted", pod: []edit{bare, selfStyled, dsEviction("true")}, want: rules.Evict, rule: "daemonset"},
		{name: "daemonset-pod=false", pod: []edit{bare, ct.Annotation(prefix+"daemonset-pod", "false")}, want: rules.Block, rule: "controller"},
		{name: "enable-ds-eviction on another pod", pod: []edit{dsEviction("true")}, want: rules.Move},

		{name: "below the cut-off", pod: []edit{bare, ct.Priority(-11)}, want: rules.Drop, rule: "expendable"},
		{name: "at the cut-off", pod: []edit{bare, ct.Priority(-10)}, want: rules.Block, rule: "controller"},

		{name: "enough replicas", c: atLeast2(2, true), want: rules.Move},
		{name: "too few replicas", c: atLeast2(1, true), want: rules.Block, rule: "min-replicas"},
		{name: "too few replicas, safe to evict", pod: []edit{safe("true")}, c: atLeast2(1, true), want: rules.Block, rule: "min-replicas"},
		{name: "controller not found", c: atLeast2(9, false), want: rules.Block, rule: "owner"},
		{name: "controller not found, safe to evict", pod: []edit{safe("true")}, c: gone, want: rules.Block, rule: "owner"},
		{name: "controller not found, expendable", pod: []edit{ct.Priority(-11)}, c: gone, want: rules.Block, rule: "owner"},
		{name: "Job not found", pod: []edit{ct.OwnedBy("Job", "j")}, c: gone, want: rules.Block, rule: "owner"},
		{name: "DaemonSet not found", pod: []edit{daemon}, c: gone, want: rules.Block, rule: "owner"},
		{name: "StatefulSet not found", pod: []edit{ct.OwnedBy("StatefulSet", "s")}, c: gone, want: rules.Block, rule: "owner"},
		{name: "ReplicationController not found", pod: []edit{ct.OwnedBy("ReplicationController", "r")}, c: gone, want: rules.Block, rule: "owner"},
		{name: "controller not found, ended", pod: []edit{phase(corev1.PodSucceeded)}, c: gone, want: rules.Ignore, rule: "terminal"},
		{name: "a StatefulSet of another API is not looked up", pod: []edit{ct.OwnedBy("StatefulSet", "s"), ofAPI("apps.kruise.io/v1beta1")}, c: gone, want: rules.Move},
		{name: "a custom controller is not looked up", pod: []edit{ct.OwnedBy("GameServer", "g")}, c: gone, want: rules.Block, rule: "controller"},
		{name: "a bare pod has no controller to look up", pod: []edit{bare}, c: gone, want: rules.Block, rule: "controller"},
		{name: "too few of a ReplicationController", pod: []edit{ct.OwnedBy("ReplicationController", "r")}, c: atLeast2(1, true), want: rules.Block, rule: "min-replicas"},
		{name: "a StatefulSet's replicas do not count", pod: []edit{ct.OwnedBy("StatefulSet", "s")}, c: atLeast2(1, true), want: rules.Move},
		{name: "nobody to look replicas up", c: rules.Context{Options: rules.Options{MinReplicaCount: 2}}, want: rules.Move},
		{name: "no minimum of replicas", c: rules.Context{Owner: replicas(0, true)}, want: rules.Move},
		{name: "a bare pod has no replicas", pod: []edit{bare}, c: atLeast2(1, true), want: rules.Block, rule: "controller"},

		{name: "cannot be simulated", c: claims, want: rules.Block, rule: "unsupported"},
		{name: "cannot be simulated, safe to evict", pod: []edit{safe("true")}, c: claims, want: rules.Block, rule: "unsupported"},
		{name: "can be simulated", c: rules.Context{Unsupported: func(*corev1.Pod) string { return "" }}, want: rules.Move},

		{name: "safe to evict, whatever else", pod: []edit{safe("true"), bare, system, hostPath}, want: rules.Move, rule: "safe-to-evict"},
		{name: "not safe to evict", pod: []edit{safe("false")}, want: rules.Block, rule: "safe-to-evict"},
		{name: "safe to evict on completion", pod: []edit{safe("on-completion")}, want: rules.Block, rule: "safe-to-evict"},
		{name: "safe to evict on completion, completed", pod: []edit{safe("on-completion"), phase(corev1.PodSucceeded)}, want: rules.Ignore, rule: "terminal"},
		{name: "safe to evict in other words", pod: []edit{safe("True"), bare}, want: rules.Block, rule: "controller"},

		{name: "do not disrupt", pod: []edit{disrupt("true")}, want: rules.Block, rule: "do-not-disrupt"},
		{name: "do not disrupt, safe to evict", pod: []edit{disrupt("true"), safe("true")}, want: rules.Block, rule: "do-not-disrupt"},
		{name: "may be disrupted", pod: []edit{disrupt("false")}, want: rules.Move},
		{name: "do not disrupt for half an hour", pod: []edit{disrupt("30m"), startedAgo(29 * time.Minute)}, want: rules.Block, rule: "do-not-disrupt"},
		{name: "do not disrupt for half an hour, over", pod: []edit{disrupt("30m"), startedAgo(30 * time.Minute)}, want: rules.Move},
		{name: "do not disrupt for half an hour, not started", pod: []edit{disrupt("30m")}, want: rules.Block, rule: "do-not-disrupt"},
		{name: "do not disrupt for a while", pod: []edit{disrupt("a while")}, want: rules.Move},
		{name: "do not disrupt, expendable", pod: []edit{disrupt("true"), ct.Priority(-11)}, want: rules.Drop, rule: "expendable"},

		{name: "long grace", pod: []edit{graceOf(601)}, c: rules.Context{Options: rules.Options{MaxGrace: 10 * time.Minute}}, want: rules.Block, rule: "grace"},
		{name: "long grace, safe to evict", pod: []edit{graceOf(601), safe("true")}, c: rules.Context{Options: rules.Options{MaxGrace: 10 * time.Minute}}, want: rules.Block, rule: "grace"},
		{name: "long grace, expendable", pod: []edit{graceOf(601), ct.Priority(-11)}, c: rules.Context{Options: rules.Options{MaxGrace: 10 * time.Minute}}, want: rules.Block, rule: "grace"},
		{name: "long grace of a daemon", pod: []edit{graceOf(601), ct.OwnedBy("DaemonSet", "d")}, c: rules.Context{Options: rules.Options{MaxGrace: 10 * time.Minute}}, want: rules.Ignore, rule: "daemonset"},
		{name: "grace that is waited for", pod: []edit{graceOf(600)}, c: rules.Context{Options: rules.Options{MaxGrace: 10 * time.Minute}}, want: rules.Move},
		{name: "long grace without a limit", pod: []edit{graceOf(86400)}, want: rules.Move},

		{name: "bare pod", pod: []edit{bare}, want: rules.Block, rule: "controller"},
		{name: "bare pod, custom controllers allowed", pod: []edit{bare}, c: rules.Context{Options: rules.Options{MoveCustomControllerPods: true}}, want: rules.Block, rule: "controller"},
		{name: "owner that is not the controller", pod: []edit{func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }}, want: rules.Block, rule: "controller"},
		{name: "custom controller", pod: []edit{ct.OwnedBy("GameServer", "g")}, want: rules.Block, rule: "controller"},
		{name: "custom controller allowed", pod: []edit{ct.OwnedBy("GameServer", "g")}, c: rules.Context{Options: rules.Options{MoveCustomControllerPods: true}}, want: rules.Move},
		{name: "Job", pod: []edit{ct.OwnedBy("Job", "j")}, want: rules.Move},
		{name: "StatefulSet", pod: []edit{ct.OwnedBy("StatefulSet", "s")}, want: rules.Move},
		{name: "ReplicationController", pod: []edit{ct.OwnedBy("ReplicationController", "r")}, want: rules.Move},

		{name: "young system pod", pod: []edit{system, madeAgo(59 * time.Minute)}, want: rules.Block, rule: "system"},
		{name: "old system pod", pod: []edit{system, madeAgo(time.Hour)}, want: rules.Move},
		{name: "system pod of unknown age", pod: []edit{system}, want: rules.Block, rule: "system"},
		{name: "system pod with a budget", pod: []edit{system}, c: rules.Context{Covered: always}, want: rules.Move},
		{name: "system pod allowed", pod: []edit{system}, c: rules.Context{Options: rules.Options{MoveSystemPods: true}}, want: rules.Move},
		{name: "old system pod that is not safe to evict", pod: []edit{system, madeAgo(time.Hour), safe("false")}, want: rules.Block, rule: "safe-to-evict"},

		{name: "emptyDir", pod: []edit{emptyDir("tmp", "")}, want: rules.Block, rule: "local-storage"},
		{name: "emptyDir of huge pages", pod: []edit{emptyDir("tmp", corev1.StorageMediumHugePages)}, want: rules.Block, rule: "local-storage"},
		{name: "emptyDir in memory", pod: []edit{emptyDir("tmp", corev1.StorageMediumMemory)}, want: rules.Move},
		{name: "hostPath", pod: []edit{hostPath}, want: rules.Block, rule: "local-storage"},
		{name: "volume that is not local", pod: []edit{ct.Volume("c", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}})}, want: rules.Move},
		{name: "local storage allowed", pod: []edit{hostPath, emptyDir("tmp", "")}, c: rules.Context{Options: rules.Options{MoveLocalStorage: true}}, want: rules.Move},
		{name: "volume named safe", pod: []edit{emptyDir("tmp", ""), volumes("tmp")}, want: rules.Move},
		{name: "volumes named safe", pod: []edit{emptyDir("tmp", ""), hostPath, volumes("host, tmp")}, want: rules.Move},
		{name: "one volume not named", pod: []edit{emptyDir("tmp", ""), hostPath, volumes("tmp")}, want: rules.Block, rule: "local-storage"},
		{name: "part of a name", pod: []edit{emptyDir("tmp", ""), volumes("tmp2,mp")}, want: rules.Block, rule: "local-storage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Now = now
			got, rule, why := tt.c.Judge(running(tt.pod...))
			if got != tt.want || rule != tt.rule {
				t.Errorf("outcome %d by %q (%s), want %d by %q", got, rule, why, tt.want, tt.rule)
			}
			if (got == rules.Block) != (why != "") {
				t.Errorf("outcome %d with the words %q", got, why)
			}
		})
	}
}

func TestJudgeNamesWhatBlocks(t *testing.T) {
	c := rules.Context{Now: now, Unsupported: func(p *corev1.Pod) string { return strings.Repeat("claim", len(p.Spec.HostAliases)) }}
	tests := []struct {
		pod  edit
		want string
	}{
		{emptyDir("tmp", ""), "keeps local storage in volume tmp"},
		{ct.OwnedBy("GameServer", "g"), "has a controller of kind GameServer, which is not built in"},
		{func(p *corev1.Pod) { p.Spec.HostAliases = make([]corev1.HostAlias, 1) }, "cannot be simulated: claim"},
	}
	for _, tt := range tests {
		if _, _, why := c.Judge(running(tt.pod)); why != tt.want {
			t.Errorf("why = %q, want %q", why, tt.want)
		}
	}
}

// TestJudgeAllocatesNothing: a planner judges all the pods of a cluster.
func TestJudgeAllocatesNothing(t *testing.T) {
	c := rules.Context{
		Now: now, Options: rules.Options{MinReplicaCount: 1}, Covered: always,
		Unsupported: func(*corev1.Pod) string { return "" }, Owner: replicas(3, true),
	}
	pods := map[string]*corev1.Pod{
		"plain":      running(),
		"volumes":    running(emptyDir("a", ""), emptyDir("b", ""), ct.Annotation(prefix+"safe-to-evict-local-volumes", "b, a")),
		"daemon":     running(ct.OwnedBy("DaemonSet", "d")),
		"system":     running(system),
		"expendable": running(ct.Priority(-11)),
		"ended":      running(phase(corev1.PodSucceeded)),
	}
	for name, pod := range pods {
		if o, _, why := c.Judge(pod); o == rules.Block {
			t.Fatalf("%s blocks: %s", name, why)
		}
		if n := testing.AllocsPerRun(100, func() { c.Judge(pod) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	c := rules.Context{Now: now}
	pod := running(ct.Annotation("a", "b"))
	b.ReportAllocs()
	for b.Loop() {
		c.Judge(pod)
	}
}
