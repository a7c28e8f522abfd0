package v1alpha1

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// agentOwned are the fields of a KubeletConfiguration that the agent or
// kubeadm decides, and why an operator may not.
var agentOwned = map[string]string{
	"apiVersion":         "the document is always kubelet.config.k8s.io/v1beta1",
	"kind":               "the document is always a KubeletConfiguration",
	"providerID":         "the agent sets it from the instance's identity",
	"registerWithTaints": "set spec.taints instead, so that the planner knows them",
	"staticPodPath":      "a worker runs no static pods of its own",
	"authentication":     "the cluster's own kubelet configuration decides who may talk to kubelets",
	"authorization":      "the cluster's own kubelet configuration decides who may talk to kubelets",
	"rotateCertificates": "nodes live longer than their certificates",
}

// reservedFields are the maps of a KubeletConfiguration that are taken off a
// node's capacity ("Reserve Compute Resources for System Daemons").
var reservedFields = []string{"kubeReserved", "systemReserved"}

func (p *problems) kubelet(field string, s KubeletSettings) {
	for _, k := range slices.Sorted(maps.Keys(s)) {
		path := field + "." + k
		if why, owned := agentOwned[k]; owned {
			p.add(path, "", "may not be set: %s", why)
		}
	}
	if v, set := s["maxPods"]; set {
		if _, ok := wholeNumber(v); !ok {
			p.add(field+".maxPods", fmt.Sprint(v), "expected a whole number from 1 to %d", math.MaxInt32)
		}
	}
	for _, name := range reservedFields {
		p.reserved(field+"."+name, s[name])
	}
	p.evictionHard(field+".evictionHard", s["evictionHard"])
}

func (p *problems) reserved(field string, v any) {
	if v == nil {
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.add(field, fmt.Sprint(v), "expected a map of resource to quantity")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if q, ok := quantity(m[k]); !ok || q.Sign() < 0 {
			p.add(field+"."+k, fmt.Sprint(m[k]), "expected a quantity such as 100m or 256Mi, as text")
		}
	}
}

func (p *problems) evictionHard(field string, v any) {
	if v == nil {
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.add(field, fmt.Sprint(v), "expected a map of eviction signal to threshold")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if s, ok := m[k].(string); !ok || s == "" {
			p.add(field+"."+k, fmt.Sprint(m[k]), "expected a quantity such as 100Mi or a percentage such as 10%%, as text")
		}
	}
}

// MaxPods returns the maximum of pods that the operator set, if any.
func (s KubeletSettings) MaxPods() (int32, bool) { return wholeNumber(s["maxPods"]) }

// Reserved returns what kubeReserved and systemReserved take off a node's
// capacity together.
func (s KubeletSettings) Reserved() corev1.ResourceList {
	sum := corev1.ResourceList{}
	for _, name := range reservedFields {
		m, _ := s[name].(map[string]any)
		for k, v := range m {
			if q, ok := quantity(v); ok {
				have := sum[corev1.ResourceName(k)]
				have.Add(q)
				sum[corev1.ResourceName(k)] = have
			}
		}
	}
	return sum
}

// EvictionHard returns the hard eviction threshold of a signal such as
// memory.available, as it was written, if the operator set one.
func (s KubeletSettings) EvictionHard(signal string) (string, bool) {
	m, _ := s["evictionHard"].(map[string]any)
	v, ok := m[signal].(string)
	return v, ok
}

func quantity(v any) (resource.Quantity, bool) {
	s, ok := v.(string)
	if !ok {
		return resource.Quantity{}, false
	}
	q, err := ParseQuantity(s)
	return q, err == nil
}

// plainQuantity bounds digits and exponent: a quantity such as 1e-999999999 is
// valid for Kubernetes and takes minutes of arithmetic.
var plainQuantity = regexp.MustCompile(`^[+-]?[0-9]{1,18}(\.[0-9]{0,9})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$`)

// ParseQuantity reads a quantity that comes from outside, such as user data or
// a tag. It takes what resource.ParseQuantity takes, up to 18 digits and an
// exponent of two.
func ParseQuantity(text string) (resource.Quantity, error) {
	if !plainQuantity.MatchString(text) {
		return resource.Quantity{}, errors.New("expected a quantity such as 100m or 256Mi")
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return resource.Quantity{}, fmt.Errorf("expected a quantity such as 100m or 256Mi: %w", err)
	}
	return q, nil
}

// wholeNumber reads a positive int32 as either of the two ways in which
// decoders here give numbers.
func wholeNumber(v any) (int32, bool) {
	switch n := v.(type) {
	case int64:
		return int32(n), n >= 1 && n <= math.MaxInt32
	case float64:
		return int32(n), n >= 1 && n <= math.MaxInt32 && n == math.Trunc(n)
	}
	return 0, false
}
