package v1alpha1_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/golden"
)

func TestDecodeNodeConfig(t *testing.T) {
	files, err := filepath.Glob("testdata/nodeconfig/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			verdict := "ok\n"
			if _, err := v1alpha1.DecodeNodeConfig(data); err != nil {
				verdict = strings.ReplaceAll(err.Error(), "; ", "\n") + "\n"
			}
			golden.Check(t, filepath.Join("testdata", "nodeconfig", filepath.Base(file)+".golden"), verdict)
		})
	}
}

func TestNodeConfigDefaultsAndSettings(t *testing.T) {
	c, err := v1alpha1.DecodeNodeConfig([]byte(`
apiVersion: joinery.dev/v1alpha1
kind: NodeConfig
spec:
  cluster: demo
  kubelet: {maxPods: 58, kubeReserved: {cpu: 100m, memory: 256Mi}, systemReserved: {cpu: 50m}, evictionHard: {memory.available: 5%}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Spec.Parameter != "/joinery/demo/join" || c.Spec.NodeName.Mode != v1alpha1.IPName {
		t.Errorf("defaults: %+v", c.Spec)
	}
	if n, ok := c.Spec.Kubelet.MaxPods(); !ok || n != 58 {
		t.Errorf("maxPods %d %t", n, ok)
	}
	reserved := c.Spec.Kubelet.Reserved()
	if cpu := reserved[corev1.ResourceCPU]; cpu.MilliValue() != 150 {
		t.Errorf("reserved cpu %s", cpu.String())
	}
	if v, ok := c.Spec.Kubelet.EvictionHard("memory.available"); !ok || v != "5%" {
		t.Errorf("evictionHard %q %t", v, ok)
	}
	if _, ok := (v1alpha1.KubeletSettings)(nil).MaxPods(); ok {
		t.Error("maxPods of nothing")
	}
}

func TestNodeConfigFor(t *testing.T) {
	c, err := v1alpha1.NodeConfigFor("demo")
	if err != nil || c.Spec.Parameter != "/joinery/demo/join" {
		t.Errorf("%+v, %v", c, err)
	}
	var invalid *v1alpha1.InvalidError
	if _, err := v1alpha1.NodeConfigFor("no spaces"); !errors.As(err, &invalid) {
		t.Errorf("bad name: %v", err)
	}
}

func FuzzDecodeNodeConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/nodeconfig/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := v1alpha1.DecodeNodeConfig(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if c.Spec.Cluster == "" || c.Spec.Parameter == "" {
			t.Errorf("accepted without what is required: %+v", c.Spec)
		}
		c.Spec.Kubelet.Reserved()
	})
}

func TestParseQuantityIsBounded(t *testing.T) {
	for _, ok := range []string{"100m", "0.5", "256Mi", "1e3", "-1", "+2Gi", "123456789012345678"} {
		if _, err := v1alpha1.ParseQuantity(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "lots", "1e-999999999", "1e100", "1234567890123456789", "1 Gi"} {
		if q, err := v1alpha1.ParseQuantity(bad); err == nil {
			t.Errorf("%s accepted as %s", bad, q.String())
		}
	}
}
