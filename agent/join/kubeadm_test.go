package join

import (
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		output string
		class  Class
		line   string
	}{
		{"[preflight] Running\nerror execution phase preflight: [preflight] Some fatal errors occurred:\n\t[ERROR FileAvailable--etc-kubernetes-kubelet.conf]: /etc/kubernetes/kubelet.conf already exists\n\t[ERROR Port-10250]: Port 10250 is in use\n", Leftovers, "[ERROR FileAvailable"},
		{"\t[ERROR SystemVerification]: cgroups v1 support is in maintenance\n", Preflight, "[ERROR SystemVerification]"},
		{"error execution phase kubelet-start: a Node with name \"ip-1\" and status \"Ready\" already exists in the cluster. You must delete it\n", Duplicate, "error execution"},
		{"x\nerror execution phase kubelet-wait: failed while waiting for the kubelet to start: context deadline exceeded\n", Kubelet, "error execution"},
		{"error execution phase kubelet-wait: failed while waiting for TLS bootstrap: context deadline exceeded\n", Bootstrap, "error"},
		{"error execution phase preflight: unable to fetch the kubeadm-config ConfigMap: Unauthorized\nTo see the stack trace\n", Credentials, "error execution"},
		{"couldn't validate the identity of the API Server: token id \"abcdef\" is invalid for this cluster or it has expired\n", Credentials, "couldn't"},
		{"Get \"https://x\": tls: failed to verify certificate: x509: certificate signed by unknown authority\n", Trust, "Get"},
		{"x509: certificate has expired or is not yet valid: current time is before\n", Clock, "x509"},
		{"Get \"https://10.99.0.11:6443\": dial tcp: connect: connection refused\n", Unreachable, "Get"},
		{"one\nsomething else\n\n", Unknown, "something else"},
		{"", Unknown, ""},
	} {
		class, line := classify(tc.output)
		if class != tc.class || !strings.HasPrefix(line, tc.line) || strings.Contains(line, "\n") {
			t.Errorf("%q: got %s %q, want %s %q…", tc.output, class, line, tc.class, tc.line)
		}
		if advice[class] == "" {
			t.Errorf("no advice for %s", class)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	out := &tail{}
	for range 100 {
		if n, err := out.Write([]byte(strings.Repeat("x", 1000) + "\n")); n != 1001 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := out.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if len(out.buf) > maxOutput || !strings.HasSuffix(string(out.buf), "the end") {
		t.Errorf("kept %d bytes", len(out.buf))
	}
}
