package cluster

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeNeeds writes what decides whether a node suits, whatever else runs on it.
func (e *encoder) nodeNeeds(spec *corev1.PodSpec) {
	e.labels(spec.NodeSelector)
	e.num(int64(len(spec.Tolerations)))
	for i := range spec.Tolerations {
		t := &spec.Tolerations[i]
		e.str(t.Key)
		e.str(string(t.Operator))
		e.str(t.Value)
		e.str(string(t.Effect))
	}
	var required *corev1.NodeSelector
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil {
		required = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	e.nodeSelector(required)
}

func (e *encoder) nodeSelector(s *corev1.NodeSelector) {
	e.flag(s != nil)
	if s == nil {
		return
	}
	e.num(int64(len(s.NodeSelectorTerms)))
	for i := range s.NodeSelectorTerms {
		t := &s.NodeSelectorTerms[i]
		for _, list := range [2][]corev1.NodeSelectorRequirement{t.MatchExpressions, t.MatchFields} {
			e.num(int64(len(list)))
			for j := range list {
				e.str(list[j].Key)
				e.str(string(list[j].Operator))
				e.strs(list[j].Values)
			}
		}
	}
}

func (e *encoder) podAffinity(a *corev1.Affinity) {
	if a == nil {
		e.num(0)
		e.num(0)
		return
	}
	var near, far []corev1.PodAffinityTerm
	if a.PodAffinity != nil {
		near = a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	if a.PodAntiAffinity != nil {
		far = a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	e.terms(near)
	e.terms(far)
}

func (e *encoder) terms(list []corev1.PodAffinityTerm) {
	e.num(int64(len(list)))
	for i := range list {
		t := &list[i]
		e.str(t.TopologyKey)
		e.strs(t.Namespaces)
		e.selector(t.NamespaceSelector)
		e.selector(t.LabelSelector)
	}
}

func (e *encoder) selector(s *metav1.LabelSelector) {
	e.flag(s != nil)
	if s == nil {
		return
	}
	e.labels(s.MatchLabels)
	e.num(int64(len(s.MatchExpressions)))
	for i := range s.MatchExpressions {
		r := &s.MatchExpressions[i]
		e.str(r.Key)
		e.str(string(r.Operator))
		e.strs(r.Values)
	}
}

func (e *encoder) spread(list []corev1.TopologySpreadConstraint) {
	for i := range list {
		c := &list[i]
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		e.str(c.TopologyKey)
		e.num(int64(c.MaxSkew))
		e.optional(c.MinDomains)
		e.policy(c.NodeAffinityPolicy)
		e.policy(c.NodeTaintsPolicy)
		e.strs(c.MatchLabelKeys)
		e.selector(c.LabelSelector)
	}
	e.num(-1)
}

func (e *encoder) optional(v *int32) {
	e.flag(v != nil)
	if v != nil {
		e.num(int64(*v))
	}
}

func (e *encoder) policy(p *corev1.NodeInclusionPolicy) {
	if p == nil {
		e.str("")
		return
	}
	e.str(string(*p))
}

// volumes writes how many volumes there are that decide where a pod may run.
// Which claims they are is worked out for each snapshot, see VolumeNeeds.
func (e *encoder) volumes(list []corev1.Volume) {
	for i := range list {
		if v := &list[i]; claimName(v) || inlineDisk(&v.VolumeSource) != "" {
			e.num(int64(i))
			e.flag(claimName(v))
			e.str(inlineDisk(&v.VolumeSource))
		}
	}
	e.num(-1)
}
