package join_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
)

func tlsConfig(der []byte, key *ecdsa.PrivateKey) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// stub stands for kubeadm: it keeps what it was given and ends as the test wants.
func stub(t *testing.T, p join.Paths, script string) {
	t.Helper()
	write(t, p.Kubeadm, "#!/bin/sh\nd=$(dirname \"$0\")/seen\nmkdir -p $d\necho \"$@\" >> $d/args\ncp "+p.Run+"/discovery.conf $3 $d/\n"+script+"\n")
	if err := os.Chmod(p.Kubeadm, 0o700); err != nil {
		t.Fatal(err)
	}
}

func joiner(p join.Paths) (*join.Joiner, *units, *bytes.Buffer) {
	u, out := &units{}, &bytes.Buffer{}
	return &join.Joiner{Paths: p, Units: u, Prover: evidence{}, Log: slog.New(slog.NewTextHandler(out, nil))}, u, out
}

// joinNow does what the stages of a boot do one after the other.
func joinNow(t *testing.T, j *join.Joiner, n join.Node, b *v1alpha1.JoinBundle) error {
	t.Helper()
	if err := j.Configure(n); err != nil {
		return err
	}
	cert, err := j.Request(t.Context(), n, b)
	if err != nil {
		return err
	}
	return j.Join(t.Context(), b, cert)
}

func TestJoinLeavesNoSecretBehind(t *testing.T) {
	p := paths(t)
	server := newAPIServer(t, newAuthority(t))
	stub(t, p, "mkdir -p "+p.Kubernetes+"\necho the token is "+token+"\ncp $d/discovery.conf "+p.Kubernetes+"/bootstrap-kubelet.conf")
	j, _, out := joiner(p)
	n := node(t, loaded)
	if err := joinNow(t, j, n, server.bundle()); err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(p.Kubeadm)
	for _, path := range append(filesWith(t, root, token), filesWith(t, p.Kubernetes, "client-key-data")...) {
		if path != p.Kubeadm {
			t.Errorf("%s holds a secret after the join", path)
		}
	}
	for _, path := range filesWith(t, p.Run, "client-key-data") {
		t.Errorf("%s holds a key after the join", path)
	}
	if strings.Contains(out.String(), token) || !strings.Contains(out.String(), "[redacted]") {
		t.Errorf("kubeadm's output is not redacted:\n%s", out)
	}
	if args, err := os.ReadFile(filepath.Join(root, "seen/args")); err != nil || string(args) != "join --config "+p.Run+"/join.yaml\n" {
		t.Errorf("kubeadm was run with %q, %v", args, err)
	}
	if !slices.Equal(server.auth, []string{"Bearer " + token, "Bearer " + token, "Bearer " + token}) {
		t.Errorf("the API server saw %q", server.auth)
	}
}

func TestRequestIsAKubeletsAndNothingMore(t *testing.T) {
	p := paths(t)
	server := newAPIServer(t, newAuthority(t))
	stub(t, p, "exit 0")
	j, _, _ := joiner(p)
	if err := joinNow(t, j, node(t, nil), server.bundle()); err != nil {
		t.Fatal(err)
	}
	spec := server.made[0].Spec
	if spec.SignerName != "kubernetes.io/kube-apiserver-client-kubelet" || *spec.ExpirationSeconds != 600 ||
		!slices.Equal(spec.Usages, []certificatesv1.KeyUsage{"digital signature", "client auth"}) {
		t.Errorf("got %+v", spec)
	}
	seen, err := os.ReadFile(filepath.Join(filepath.Dir(p.Kubeadm), "seen/discovery.conf"))
	if err != nil || strings.Contains(string(seen), "token") || !strings.Contains(string(seen), "client-certificate-data") {
		t.Errorf("kubeadm was given %s, %v", seen, err)
	}
}

func TestJoinNeverTrustsAnotherCA(t *testing.T) {
	p := paths(t)
	server := newAPIServer(t, newAuthority(t))
	stub(t, p, "exit 0")
	j, _, _ := joiner(p)
	b := server.bundle()
	b.CACert = newAuthority(t).pem
	if err := joinNow(t, j, node(t, nil), b); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("got %v, want a refusal of the server's certificate", err)
	}
	if len(server.auth) != 0 {
		t.Error("the token reached a server that the bundle does not pin")
	}
}

func TestFailedJoinIsClassifiedAndCleaned(t *testing.T) {
	p := paths(t)
	server := newAPIServer(t, newAuthority(t))
	stub(t, p, "echo 'error execution phase kubelet-start: a Node with name \"x\" and status \"Ready\" already exists in the cluster.' >&2; exit 1")
	for _, name := range []string{"bootstrap-kubelet.conf", "kubelet.conf", "pki/ca.crt"} {
		write(t, filepath.Join(p.Kubernetes, name), "old")
	}
	write(t, filepath.Join(p.Kubelet, "pki/kubelet-client-current.pem"), "old")
	j, u, _ := joiner(p)
	err := joinNow(t, j, node(t, nil), server.bundle())
	var failed *join.KubeadmError
	if !errors.As(err, &failed) || failed.Class != join.Duplicate || !failed.Slow() || !strings.Contains(failed.Line, "already exists") {
		t.Fatalf("got %v", err)
	}
	if old := filesWith(t, filepath.Dir(p.Kubernetes), "old"); old != nil {
		t.Errorf("left %v", old)
	}
	if want := []string{"stop kubelet.service"}; !slices.Equal(u.calls, want) {
		t.Errorf("systemd was asked %v, want %v", u.calls, want)
	}
}

func TestMachineThatDoesNotForwardIsRefused(t *testing.T) {
	p := paths(t)
	write(t, p.IPForward, "0\n")
	j, _, _ := joiner(p)
	var wrong *join.MachineError
	if err := j.Configure(node(t, nil)); !errors.As(err, &wrong) || !strings.Contains(wrong.Detail, "ip_forward is 0") {
		t.Errorf("got %v, want a MachineError", err)
	}
}

func TestJoined(t *testing.T) {
	ca := newAuthority(t)
	n := node(t, nil)
	for name, tc := range map[string]struct {
		cn   string
		life time.Duration
		conf bool
		want string
	}{
		"joined":        {"system:node:" + n.Name, time.Hour, true, ""},
		"other name":    {"system:node:other", time.Hour, true, `the certificate is for "system:node:other"`},
		"ended":         {"system:node:" + n.Name, -time.Minute, true, "the certificate ended"},
		"no kubeconfig": {"system:node:" + n.Name, time.Hour, false, "kubelet.conf"},
		"no pem":        {"", 0, true, "kubelet-client-current.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			p := paths(t)
			if tc.conf {
				write(t, p.KubeletConfig(), "x")
			}
			if tc.cn != "" {
				write(t, filepath.Join(p.Kubelet, "pki/kubelet-client-current.pem"), string(ca.issue(t, tc.cn, ca.key.Public(), tc.life)))
			}
			err := join.Joined(p, n.Name, time.Now())
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestResetForgetsTheOtherNode(t *testing.T) {
	p := paths(t)
	for _, path := range []string{
		p.KubeletConfig(), p.Kubelet + "/pki/kubelet-client-current.pem", p.Kubelet + "/pki/kubelet.key",
		p.Kubelet + "/cpu_manager_state", p.Kubelet + "/config.yaml", p.Kubernetes + "/pki/ca.crt",
	} {
		write(t, path, "old")
	}
	j, u, _ := joiner(p)
	if err := j.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if old := filesWith(t, filepath.Dir(p.Kubeadm), "old"); old != nil {
		t.Errorf("left %v", old)
	}
	if u.calls[0] != "disable kubelet.service" || u.calls[1] != "stop kubelet.service" {
		t.Errorf("systemd was asked %v: the kubelet must go before its files", u.calls)
	}
}

// An agent that asks again is the same one to the approver, until it has joined.
func TestKeyIsKeptUntilJoined(t *testing.T) {
	p := paths(t)
	server := newAPIServer(t, newAuthority(t))
	stub(t, p, "exit 1")
	j, _, _ := joiner(p)
	n := node(t, nil)
	first, err := j.Request(t.Context(), n, server.bundle())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Join(t.Context(), server.bundle(), first); err == nil {
		t.Fatal("joined with a kubeadm that fails")
	}
	again, _, _ := joiner(p)
	second, err := again.Request(t.Context(), n, server.bundle())
	if err != nil || second.Key != first.Key {
		t.Errorf("a restarted agent asks with another key (%v)", err)
	}
	if err := j.EnsureKubelet(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if left := filesWith(t, p.Run, "PRIVATE KEY"); len(left) > 0 {
		t.Errorf("the key is left in %s", left)
	}
	third, err := again.Request(t.Context(), n, server.bundle())
	if err != nil || third.Key == first.Key {
		t.Errorf("the key of a node that has joined is used again (%v)", err)
	}
}
