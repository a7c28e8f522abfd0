package v1alpha1

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"
)

// nodesToCome checks what is said about nodes that are new: their taints, and which of
// them are alike.
func (p *problems) nodesToCome(field string, a AutoscalerSettings) {
	p.taintKeys(field+".startupTaints", a.StartupTaints)
	p.taintKeys(field+".statusTaints", a.StatusTaints)
	for i, key := range a.BalancingIgnoreLabels {
		if len(validation.IsQualifiedName(key)) > 0 {
			p.add(fmt.Sprintf("%s.balancingIgnoreLabels[%d]", field, i), key, "expected the key of a label, such as example.com/rack")
		}
	}
	p.share(field+".balancingMemoryRatio", a.BalancingMemoryRatio)
	p.share(field+".balancingAllocatableRatio", a.BalancingAllocatableRatio)
	p.share(field+".balancingFreeRatio", a.BalancingFreeRatio)
}

// share checks a share of a whole that may be left out.
func (p *problems) share(field string, f *float64) {
	if f != nil && !(*f >= 0 && *f <= 1) {
		p.add(field, fmt.Sprint(*f), "expected a share of 0 to 1")
	}
}

// taintKey is the beginning of a taint's key, or a whole one: what a label's key may
// begin with.
var taintKey = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(/([A-Za-z0-9][A-Za-z0-9._-]*)?)?\*?$`)

// taintKeys checks beginnings of taint keys.
func (p *problems) taintKeys(field string, keys []string) {
	for i, key := range keys {
		if len(key) > 317 || !taintKey.MatchString(key) {
			p.add(fmt.Sprintf("%s[%d]", field, i), key, "expected the key of a taint or its beginning, such as example.com/ or example.com/not-*")
		}
	}
}
