package v1alpha1_test

import (
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
)

func TestWhoSetsALabel(t *testing.T) {
	const kubelet, controller, nobody = "kubelet", "controller", "nobody"
	for key, want := range map[string]string{
		"team":                                     kubelet,
		"example.com/pool":                         kubelet,
		"node.kubernetes.io/pool":                  kubelet,
		"x.kubelet.kubernetes.io/y":                kubelet,
		"kubernetes.io/hostname":                   kubelet,
		"topology.kubernetes.io/zone":              kubelet,
		"beta.kubernetes.io/arch":                  kubelet,
		"failure-domain.beta.kubernetes.io/zone":   kubelet,
		"node-role.kubernetes.io/worker":           controller,
		"node-restriction.kubernetes.io/pci":       controller,
		"shop.node-restriction.kubernetes.io/pci":  controller,
		"kubernetes.io/role":                       controller,
		"feature.k8s.io/x":                         controller,
		"notnode-restriction.kubernetes.io/x":      controller,
		"node-role.kubernetes.io/control-plane":    nobody,
		"node-role.kubernetes.io/master":           nobody,
		"node-restriction.kubernetes.io.evil.org/": kubelet,
		v1alpha1.UnneededSinceLabel:                nobody,
		v1alpha1.OwnLabelDomain + "/admitted-uid":  nobody,
		v1alpha1.OwnLabelDomain + ".evil.org/x":    kubelet,
		"x." + v1alpha1.OwnLabelDomain + "/y":      controller,
	} {
		got := nobody
		switch {
		case v1alpha1.KubeletMaySet(key) && v1alpha1.ControllerSets(key):
			got = "both"
		case v1alpha1.KubeletMaySet(key):
			got = kubelet
		case v1alpha1.ControllerSets(key):
			got = controller
		}
		if got != want {
			t.Errorf("%s: set by %s, expected %s", key, got, want)
		}
		if (v1alpha1.ControlPlaneLabel(key) || v1alpha1.OwnLabel(key)) != (want == nobody) {
			t.Errorf("%s: a label of the control plane or of the controller: %t", key, want != nobody)
		}
	}
}
