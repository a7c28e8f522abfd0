package demo_test

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/deploy/rbac"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/cluster"
)

const (
	fallback  = "informers stream what they list; an API server that cannot, or is too busy, makes them list"
	ring      = "tokens have the ids of a ring in turn, and a story is shorter than a round of it"
	admission = "asked for by the approval's admission, in no request of its own"
)

// unneeded are the permissions that the story does not use, and why they are
// given all the same.
var unneeded = map[string]string{
	"approve certificates.k8s.io/signers/kubernetes.io/kube-apiserver-client-kubelet": admission,
	"approve certificates.k8s.io/signers/kubernetes.io/kubelet-serving":               admission,
	"list apps/daemonsets":                                             fallback,
	"list apps/replicasets":                                            fallback,
	"list apps/statefulsets":                                           fallback,
	"list batch/jobs":                                                  fallback,
	"list replicationcontrollers":                                      fallback,
	"list certificates.k8s.io/certificatesigningrequests":              fallback,
	"list configmaps/joinery-rotation in kube-system":                  fallback,
	"list limitranges":                                                 fallback,
	"list namespaces":                                                  fallback,
	"list node.k8s.io/runtimeclasses":                                  fallback,
	"list nodes":                                                       fallback,
	"list persistentvolumeclaims":                                      fallback,
	"list persistentvolumes":                                           fallback,
	"list policy/poddisruptionbudgets":                                 fallback,
	"list storage.k8s.io/csidrivers":                                   fallback,
	"list storage.k8s.io/csinodes":                                     fallback,
	"list storage.k8s.io/csistoragecapacities":                         fallback,
	"list storage.k8s.io/storageclasses":                               fallback,
	"get coordination.k8s.io/leases/cluster-autoscaler in kube-system": "controllers of earlier builds ask so, during an upgrade and after going back",
	"delete pods":                                                      "no instance ends under its pods here",
	"create pods/eviction":                                             "the nodes that go are empty",
	"patch events":                                                     "for an Event that is told again",
	"update configmaps/joinery-rotation in kube-system":                "the rotation is asked for by SIGHUP",
	"update configmaps/joinery-autoscaler in kube-system":              "what nodes told is written once, and again when it changes",
	"update configmaps/joinery-proven-images in kube-system":           "an image is recorded once, and again after a day",
}

// checkPermissions holds what the controller asked the real API server for
// against deploy/rbac: nothing was refused, and what is granted was needed.
func checkPermissions(t *testing.T, requests []cluster.Request) {
	t.Helper()
	manifests, err := rbac.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	grants, err := cluster.ParseGrants(manifests)
	if err != nil {
		t.Fatal(err)
	}
	unused, refused := cluster.Compare(grants, requests)
	for _, r := range refused {
		t.Errorf("the API server refused: %s", r)
	}
	for _, g := range unused {
		why, known := unneeded[g.String()]
		if strings.Contains(g.String(), " secrets/"+kube.BootstrapTokenSecretName("join")) {
			why, known = ring, true
		}
		if known {
			t.Logf("not used here: %s: %s", g, why)
		} else {
			t.Errorf("granted and never used: %s", g)
		}
	}
}
