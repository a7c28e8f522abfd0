package launch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/joinery/joinery/api/v1alpha1"
)

// The tags by which Cluster Autoscaler's users describe a group's nodes (its
// AWS README, "Auto-Discovery Setup").
const (
	labelTag    = v1alpha1.NodeTemplateTag + "label/"
	taintTag    = v1alpha1.NodeTemplateTag + "taint/"
	resourceTag = v1alpha1.NodeTemplateTag + "resources/"
)

// Overrides are what node-template tags say about a group's nodes.
type Overrides struct {
	Labels    map[string]string
	Taints    []corev1.Taint
	Resources corev1.ResourceList
}

// ParseTags reads the node-template tags of a group. The error names every
// tag that cannot be read.
func ParseTags(tags map[string]string) (Overrides, error) {
	o := Overrides{Labels: map[string]string{}, Resources: corev1.ResourceList{}}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if err := o.add(key, tags[key]); err != nil {
			errs = append(errs, fmt.Errorf("tag %s=%q: %w", key, tags[key], err))
		}
	}
	return o, errors.Join(errs...)
}

func (o *Overrides) add(key, value string) error {
	if k, ok := strings.CutPrefix(key, labelTag); ok {
		if err := qualified(k); err != nil {
			return err
		}
		if e := validation.IsValidLabelValue(value); len(e) > 0 {
			return fmt.Errorf("expected a label value: %s", e[0])
		}
		o.Labels[k] = value
		return nil
	}
	if k, ok := strings.CutPrefix(key, taintTag); ok {
		t, err := parseTaint(k, value)
		if err != nil {
			return err
		}
		o.Taints = append(o.Taints, t)
		return nil
	}
	if k, ok := strings.CutPrefix(key, resourceTag); ok {
		if err := qualified(k); err != nil {
			return err
		}
		q, err := v1alpha1.ParseQuantity(value)
		if err != nil {
			return err
		}
		if q.Sign() < 0 {
			return errors.New("expected a quantity of 0 or more")
		}
		o.Resources[corev1.ResourceName(k)] = q
	}
	return nil
}

// parseTaint reads the value of a taint tag, <value>:<effect>.
func parseTaint(key, text string) (corev1.Taint, error) {
	if err := qualified(key); err != nil {
		return corev1.Taint{}, err
	}
	value, effect, _ := strings.Cut(text, ":")
	if e := validation.IsValidLabelValue(value); len(e) > 0 {
		return corev1.Taint{}, fmt.Errorf("expected a taint value: %s", e[0])
	}
	t := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
	switch t.Effect {
	case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		return t, nil
	}
	return corev1.Taint{}, errors.New("expected <value>:NoSchedule, <value>:PreferNoSchedule or <value>:NoExecute")
}

func qualified(key string) error {
	if e := validation.IsQualifiedName(key); len(e) > 0 {
		return fmt.Errorf("expected a qualified name after the prefix: %s", e[0])
	}
	return nil
}
