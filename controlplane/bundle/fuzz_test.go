package bundle_test

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
)

// Whatever stands in the places that say what a cluster is, what is made of it
// can be published, or is too large, or is an error.
func FuzzClusterFacts(f *testing.F) {
	ca := authority(f, 0, time.Hour)
	f.Add(ca, clusterInfo("https://api.demo.internal:6443", ca).Data["kubeconfig"], ca)
	f.Add(ca+"\n"+ca, "clusters: [{name: '', cluster: {server: 'https://[::1'}}]", "")
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "", ca)
	f.Fuzz(func(t *testing.T, file, info, root string) {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"}, Data: map[string]string{"kubeconfig": info}}
		c, err := source(t, file, cm, rootCA(root)).Cluster(t.Context())
		if err != nil {
			return
		}
		now := time.Now().UTC()
		b := c.Bundle("abcdef.0123456789abcdef", now, now.Add(time.Hour))
		var size *v1alpha1.BundleSizeError
		var invalid *v1alpha1.InvalidError
		if err := bundle.NewStore(nil, "demo", parameter, "").Check(b); err != nil && !errors.As(err, &size) && !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", c, err)
		}
	})
}
