package rival

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

const (
	// Name is Cluster Autoscaler's default for its lock (--leader-elect-resource-name).
	Name = "cluster-autoscaler"
	// StatusName is its default for the ConfigMap that shows its status
	// (--status-config-map-name).
	StatusName = "cluster-autoscaler-status"
	// KarpenterName is the Lease of Karpenter's leader.
	KarpenterName = "karpenter-leader-election"

	// lockAnnotation is where client-go's locks other than Leases keep their record.
	lockAnnotation = "control-plane.alpha.kubernetes.io/leader"
	// updatedAnnotation is on the status ConfigMap, in updatedFormat.
	updatedAnnotation = kube.AutoscalerAnnotationPrefix + "last-updated"
	updatedFormat     = "2006-01-02 15:04:05.999999999 -0700 MST"

	// lockDuration is Cluster Autoscaler's, for a lock that names none.
	lockDuration = 15 * time.Second
	// longestLock bounds what a lock may claim: it can be written by anyone who may
	// write into some namespace, and a duration of years would stop scaling for years.
	longestLock = 10 * time.Minute
	// leftover is how old a lock's time must be for it to count as left behind at first
	// sight, until it changes: no clock is that wrong. A new leader need not wait for it.
	leftover = 12 * time.Hour
	// statusAge is how long after its last round a status says that a Cluster Autoscaler
	// runs: rounds come every 10 s by default, and are slow on large clusters.
	statusAge = time.Minute
)

// Sight is what the API server says about other autoscalers.
type Sight struct {
	// Leases, and the two that follow, are those of the names above, of every namespace.
	Leases []coordinationv1.Lease
	// Endpoints and ConfigMaps tell by their annotations alone.
	Endpoints, ConfigMaps []metav1.ObjectMeta
	// Pods that run an autoscaler (kube.Autoscaler), of every namespace.
	Pods []*corev1.Pod
	// NodeReady reports whether the node of that name is Ready.
	NodeReady func(name string) bool
}

// Rival is another autoscaler that acts, or may act.
type Rival struct {
	// Program is kube.ClusterAutoscaler or kube.Karpenter.
	Program string
	// Holder names who it is: a lock's holder, or a pod.
	Holder string
	// Namespace of the trace.
	Namespace string
	// Trace is what showed it, such as "Lease autoscaling/cluster-autoscaler".
	Trace string
	// object is what an Event about it is of.
	object corev1.ObjectReference
}

// String names the rival and what showed it.
func (r Rival) String() string { return r.Program + " " + r.Holder + " (" + r.Trace + ")" }

// Find returns the rivals of a sight, sorted. A lock counts while it is renewed in time:
// by the time in it, or by whether it changed here, because the time is by another
// machine's clock. Locks remembers what was seen of them before.
func Find(s Sight, locks Locks, now time.Time) []Rival {
	var out []Rival
	before := maps.Clone(locks)
	clear(locks) // a lock that was deleted is not remembered: anyone can make many
	add := func(program, holder, kind string, m metav1.ObjectMeta, version string) {
		out = append(out, Rival{
			Program: program, Holder: holder, Namespace: m.Namespace, Trace: kind + " " + m.Namespace + "/" + m.Name,
			object: corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: m.Namespace, Name: m.Name, UID: m.UID},
		})
	}
	for i := range s.Leases {
		l := &s.Leases[i]
		if r := leaseRecord(l); before.held(locks, "Lease", &l.ObjectMeta, r, now) {
			add(programOfLock(l.Name), r.holder, "Lease", l.ObjectMeta, "coordination.k8s.io/v1")
		}
	}
	for i := range s.Endpoints {
		m := &s.Endpoints[i]
		if r := annotatedRecord(m); before.held(locks, "Endpoints", m, r, now) {
			add(programOfLock(m.Name), r.holder, "Endpoints", *m, "v1")
		}
	}
	for i := range s.ConfigMaps {
		m := &s.ConfigMaps[i]
		r := annotatedRecord(m)
		if m.Name == StatusName {
			r = statusRecord(m)
		}
		if before.held(locks, "ConfigMap", m, r, now) {
			add(kube.ClusterAutoscaler, r.holder, "ConfigMap", *m, "v1")
		}
	}
	for _, p := range s.Pods {
		if program := kube.PodAutoscaler(p); program != "" && active(p, s.NodeReady) {
			add(program, p.Name, "Pod", p.ObjectMeta, "v1")
		}
	}
	slices.SortFunc(out, func(a, b Rival) int {
		return cmp.Or(strings.Compare(a.Program, b.Program), strings.Compare(a.Trace, b.Trace))
	})
	return slices.Compact(out) // a lock may be listed twice
}

func programOfLock(name string) string {
	if name == KarpenterName {
		return kube.Karpenter
	}
	return kube.ClusterAutoscaler
}

// active reports whether a pod may act: it was put on a node, has not ended, and was
// not given up with a lost node. The node lifecycle controller takes the condition Ready
// from the pods of a silent node, and such a pod reaches no API server. A pod that only
// is not ready acts between its crashes, and counts.
func active(p *corev1.Pod, nodeReady func(string) bool) bool {
	if p.Spec.NodeName == "" || kube.Finished(p) {
		return false
	}
	return nodeReady(p.Spec.NodeName) || kube.PodReady(p)
}

// lockRecord is what a lock says.
type lockRecord struct {
	holder  string
	renewed time.Time
	lasts   time.Duration
}

func leaseRecord(l *coordinationv1.Lease) lockRecord {
	s := l.Spec
	if s.HolderIdentity == nil || s.RenewTime == nil {
		return lockRecord{}
	}
	r := lockRecord{holder: *s.HolderIdentity, renewed: s.RenewTime.Time, lasts: lockDuration}
	if s.LeaseDurationSeconds != nil {
		r.lasts = time.Duration(*s.LeaseDurationSeconds) * time.Second
	}
	return r
}

// annotatedRecord reads a lock of client-go's older kinds. One that cannot be read is
// held by nobody: no elector could renew it.
func annotatedRecord(m *metav1.ObjectMeta) lockRecord {
	var said struct {
		Holder  string      `json:"holderIdentity"`
		Seconds int         `json:"leaseDurationSeconds"`
		Renewed metav1.Time `json:"renewTime"`
	}
	if err := json.Unmarshal([]byte(m.Annotations[lockAnnotation]), &said); err != nil {
		return lockRecord{}
	}
	r := lockRecord{holder: said.Holder, renewed: said.Renewed.Time, lasts: lockDuration}
	if said.Seconds > 0 {
		r.lasts = time.Duration(said.Seconds) * time.Second
	}
	return r
}

func statusRecord(m *metav1.ObjectMeta) lockRecord {
	at, err := time.Parse(updatedFormat, m.Annotations[updatedAnnotation])
	if err != nil {
		return lockRecord{}
	}
	return lockRecord{holder: "that writes its status", renewed: at, lasts: statusAge}
}

// Locks remembers when each lock was last seen to change.
type Locks map[string]sighting

type sighting struct {
	renewed time.Time // in the lock
	at      time.Time // here
}

// held reports whether a lock is held, by what was seen of it before, and notes it in
// next.
func (l Locks) held(next Locks, kind string, m *metav1.ObjectMeta, r lockRecord, now time.Time) bool {
	if r.holder == "" {
		return false
	}
	r.lasts = min(r.lasts, longestLock)
	key := kind + "/" + string(m.UID) + "/" + m.Namespace + "/" + m.Name
	seen, known := l[key]
	switch {
	case !known && now.Sub(r.renewed) > leftover:
		seen = sighting{renewed: r.renewed}
	case !known || !seen.renewed.Equal(r.renewed):
		seen = sighting{r.renewed, now}
	}
	next[key] = seen
	ahead := r.renewed.Sub(now)
	return now.Sub(seen.at) <= r.lasts || ahead <= r.lasts && now.Sub(r.renewed) <= r.lasts
}

// OverGroups returns the first rival that scales Auto Scaling groups, empty for none.
func OverGroups(all []Rival) string {
	for _, r := range all {
		if r.Program == kube.ClusterAutoscaler {
			return r.String()
		}
	}
	return ""
}

// OverNodes returns the first Karpenter of a cluster in which a Node of a managed group
// is in one of its NodePools, empty for none. Karpenter ends such a Node's instance when
// it pleases. Beside groups that are ours alone it may work: which pods go where is its
// user's choice.
func OverNodes(all []Rival, nodes []*cluster.NodeState) string {
	for _, r := range all {
		if r.Program != kube.Karpenter {
			continue
		}
		for _, n := range nodes {
			if n.Group == "" {
				continue
			}
			if pool := n.Node().Labels[kube.KarpenterPoolLabel]; pool != "" {
				return r.String() + ", whose NodePool " + pool + " holds node " + n.Name() + " of group " + n.Group + ","
			}
		}
	}
	return ""
}
