//go:build linux

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/systemd"
)

const (
	masterName = "ip-10-99-0-11.us-west-2.compute.internal"
	workerName = "ip-10-99-0-12.us-west-2.compute.internal"
	workerID   = "aws:///us-west-2b/i-0000000000000000b"
)

// newRun starts a run whose API server will be at 10.99.0.11.
func newRun(t *testing.T, k *kit.Kit) (*machine.Host, image.Image) {
	t.Helper()
	o := machine.Options{
		Services: cluster.Services(netip.MustParseAddr("10.99.0.11")),
		LogDir:   os.Getenv("JOINERY_TEST_LOGS"),
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	h, err := machine.NewHost(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		begin := time.Now()
		if err := h.Close(labtest.Lasting(t)); err != nil {
			t.Errorf("close: %v", err)
		}
		t.Logf("teardown: %.1f s", time.Since(begin).Seconds())
		left, err := machine.Leftovers(h.Prefix(), "")
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
	})
	own, err := k.Own(t.Context(), t.TempDir(), "./cmd/joinery-agent")
	if err != nil {
		t.Fatal(err)
	}
	ami, err := bakery.AMI(t.Context(), h, k, bakery.Options{
		Dir: filepath.Join(h.Dir(), "ami"), Agent: own["joinery-agent"], Region: "us-west-2", Report: labtest.Report(t),
		// These machines have no metadata and join by hand.
		Files: map[string]image.File{"/etc/systemd/system/" + systemd.Agent: {Link: "/dev/null"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, ami
}

func TestControlPlane(t *testing.T) {
	k := labtest.Kit(t)
	h, ami := newRun(t, k)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	master, err := h.Launch(ctx, machine.Spec{
		ID: "i-0000000000000000a", IP: netip.MustParseAddr("10.99.0.11"), CPUs: 2, MemoryMiB: 4096, Image: ami,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Init(ctx, cluster.Options{
		Host: h, Kit: k, Name: "test", Report: labtest.Report(t),
		Master: cluster.Master{Machine: master, NodeName: masterName, ProviderID: "aws:///us-west-2a/i-0000000000000000a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("control plane: %.1f s", time.Since(begin).Seconds())
	secrets, err := c.Client().CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{FieldSelector: "type=bootstrap.kubernetes.io/token"})
	if err != nil || len(secrets.Items) != 0 {
		t.Errorf("%d bootstrap tokens are left from kubeadm init (%v)", len(secrets.Items), err)
	}
	if err := c.JoinMaster(ctx, cluster.Master{}); !errors.Is(err, cluster.ErrNoBalancer) {
		t.Errorf("a second master without a load balancer: %v", err)
	}
	t.Run("node joins", func(t *testing.T) { checkJoin(ctx, t, c, h, ami) })
	t.Run("pod runs", func(t *testing.T) { checkPod(ctx, t, c) })
	t.Run("controller", func(t *testing.T) { checkController(ctx, t, c) })
	t.Run("terminate", func(t *testing.T) {
		worker, _ := h.Machine("i-0000000000000000b")
		begin := time.Now()
		if err := worker.Terminate(ctx); err != nil {
			t.Error(err)
		}
		t.Logf("orderly termination with a pod: %.1f s", time.Since(begin).Seconds())
	})
	t.Run("kubectl line", func(t *testing.T) {
		line := strings.Join(c.KubectlCommand(), " ")
		if !strings.HasPrefix(line, "ip netns exec "+h.Prefix()) || !strings.Contains(line, "--kubeconfig ") {
			t.Errorf("got %s", line)
		}
	})
}

// joinConfig is what kubeadm join is given; the agent makes its own.
const joinConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: %q, apiServerEndpoint: %q, unsafeSkipCAVerification: true}
nodeRegistration:
  name: %s
  criSocket: unix:///run/containerd/containerd.sock
  ignorePreflightErrors: [SystemVerification]
  kubeletExtraArgs: [{name: provider-id, value: %q}, {name: node-ip, value: 10.99.0.12}]
`

func checkJoin(ctx context.Context, t *testing.T, c *cluster.Cluster, h *machine.Host, ami image.Image) {
	// Made before the machine, as a token takes a second to be signed and kubeadm
	// looks again only after five.
	token, err := c.Master().Exec(ctx, "kubeadm", "token", "create", "--ttl", "10m")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(joinConfig, strings.TrimSpace(string(token)), cluster.Endpoint(c.Master().IP()), workerName, workerID)
	begin := time.Now()
	worker, err := h.Launch(ctx, machine.Spec{
		ID: "i-0000000000000000b", IP: netip.MustParseAddr("10.99.0.12"), CPUs: 4, MemoryMiB: 8192, Image: ami,
		Files: map[string]image.File{"/etc/join.yaml": {Data: []byte(config), Mode: 0o600}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.WaitUnits(ctx, "containerd.service", "lab-images.service"); err != nil {
		t.Fatal(err)
	}
	t.Logf("containerd: %.1f s", time.Since(begin).Seconds())
	for _, args := range [][]string{
		{"hostnamectl", "set-hostname", workerName}, {"kubeadm", "join", "--config", "/etc/join.yaml"}, {"systemctl", "enable", "-q", "kubelet"},
	} {
		if out, err := worker.Exec(ctx, args...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Logf("joined: %.1f s", time.Since(begin).Seconds())
	node, err := c.WaitNode(ctx, workerName)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready: %.1f s", time.Since(begin).Seconds())
	capacity := node.Status.Capacity
	if capacity.Cpu().Value() != 4 || capacity.Memory().Value() != 8192<<20 {
		t.Errorf("capacity %v, want 4 CPUs and 8 GiB", capacity)
	}
	if node.Spec.ProviderID != workerID || node.Status.Addresses[0].Address != "10.99.0.12" {
		t.Errorf("provider %s, addresses %v", node.Spec.ProviderID, node.Status.Addresses)
	}
}

// podYAML asks the API server for its health through the Service's address, as
// any pod would; hostPath lends it a program, as the image has none.
const podYAML = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
  "containers": [{"name": "c", "image": "lab.local/pause:1", "imagePullPolicy": "Never"}]}}`

func checkPod(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	begin := time.Now()
	if _, err := c.Kubectl(ctx, []byte(podYAML), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(ctx, nil, "wait", "pod/p", "--for=condition=Ready", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	t.Logf("pod ready: %.1f s", time.Since(begin).Seconds())
	pod, err := c.Client().CoreV1().Pods("default").Get(ctx, "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pod.Spec.NodeName != workerName || !strings.HasPrefix(pod.Status.PodIP, "10.244.12.") {
		t.Errorf("pod %s on %s", pod.Status.PodIP, pod.Spec.NodeName)
	}
}

// checkController installs a stand-in for joinery-controller that proves, by
// systemd taking it for started, that it can use all it was given.
func checkController(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	program := filepath.Join(t.TempDir(), "stand-in")
	const script = "#!/bin/sh\nset -e\ngrep -q marker /etc/joinery/controller.yaml\n" +
		"[ \"$AWS_ENDPOINT_URL\" = http://10.99.0.1:4566 ]\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	err := c.InstallController(ctx, cluster.Controller{
		Binary: program, Config: []byte("marker: 1\n"),
		RBAC: []byte(`{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "joinery-controller"},
 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "joinery-controller"}]}`),
		Units: map[string][]byte{
			"joinery-controller.service": []byte("[Unit]\nRequires=stand-in.service\nAfter=stand-in.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/joinery-controller\n[Install]\nWantedBy=multi-user.target\n"),
			"stand-in.service":           []byte("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"),
		},
		Environment: map[string]string{"AWS_ENDPOINT_URL": "http://10.99.0.1:4566"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Master().WaitUnits(ctx, "joinery-controller.service"); err != nil {
		t.Fatal(err)
	}
	out, err := c.Kubectl(ctx, nil, "auth", "can-i", "list", "pods", "--as=joinery-controller")
	if err != nil || strings.TrimSpace(string(out)) != "yes" {
		t.Errorf("rights were not given: %s (%v)", out, err)
	}
}
