package masters_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
)

// TestMastersFormOneCluster looks at what three masters are when all is well.
func TestMastersFormOneCluster(t *testing.T) {
	c := open(t)
	masters := c.Cluster.Masters()
	if len(masters) != 3 {
		t.Fatalf("%d masters", len(masters))
	}
	for _, m := range masters {
		if body, err := c.Ask(t.Context(), m, "/healthz"); err != nil {
			t.Errorf("healthz of %s: %v %s", m.NodeName, err, body)
		}
		node, err := c.Cluster.Client().CoreV1().Nodes().Get(t.Context(), m.NodeName, metav1.GetOptions{})
		if err != nil || node.Spec.ProviderID != m.ProviderID || node.Status.Addresses[0].Address != m.Machine.IP().String() {
			t.Errorf("%s: provider %s, addresses %v (%v)", m.NodeName, node.Spec.ProviderID, node.Status.Addresses, err)
		}
	}
	etcd := c.mustExec(masters[2], "sh", "-c", "ls -d /proc/[0-9]*/exe | while read e; do [ \"$(readlink $e)\" = /usr/local/bin/etcd ] && tr '\\0' '\\n' < ${e%exe}cmdline; done; true")
	for _, m := range masters {
		if !strings.Contains(etcd, m.NodeName+"=https://"+m.Machine.IP().String()+":2380") {
			t.Errorf("etcd of the third master was not told of %s: %s", m.NodeName, etcd)
		}
	}
	c.mustLiveToken()
	b, err := c.bundle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Whatever let the masters in is gone: only Joinery's token is left.
	tokens, err := c.Cluster.Client().CoreV1().Secrets(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{FieldSelector: "type=bootstrap.kubernetes.io/token"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range tokens.Items {
		if s.Name != "bootstrap-token-"+b.TokenID() {
			t.Errorf("token %s is left", s.Name)
		}
	}
	if _, err := c.Cluster.Client().CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "kubeadm-certs", metav1.GetOptions{}); err == nil {
		t.Error("kubeadm-certs is left")
	}
}

// TestLeaderKilled kills the leader's process, which nothing prepares it for.
func TestLeaderKilled(t *testing.T) {
	c := open(t)
	old, lease := c.mustLeader()
	begin := time.Now()
	c.mustExec(old, "systemctl", "kill", "--signal=KILL", "--kill-who=main", site.ControllerUnit)
	m, next := c.awaitTakeover(lease, takeover)
	t.Logf("killed on %s; %.1f s later %s leads", old.NodeName, next.Spec.AcquireTime.Sub(begin).Seconds(), m.NodeName)
	if early := next.Spec.AcquireTime.Sub(lease.Spec.RenewTime.Time); early < leaseDuration-time.Second {
		t.Errorf("taken over %s after a renewal: the killed process might still have acted", early)
	}
	c.mustLiveToken()
	c.mustRotate(m)
	c.awaitCalm()
}

// TestMastersLeaderStops stops the leader in good order: it gives the Lease back,
// and another takes it at its next look.
func TestMastersLeaderStops(t *testing.T) {
	c := open(t)
	old, lease := c.mustLeader()
	c.mustExec(old, "systemctl", "stop", site.ControllerUnit)
	stopped := time.Now()
	m, next := c.awaitTakeover(lease, lookAgain+slack)
	t.Logf("stopped on %s; %.1f s later %s leads", old.NodeName, next.Spec.AcquireTime.Sub(stopped).Seconds(), m.NodeName)
	if m.NodeName == old.NodeName {
		t.Error("the stopped controller leads")
	}
	c.mustExec(old, "systemctl", "start", site.ControllerUnit)
	c.awaitCalm()
	c.mustLiveToken()
}

// TestLeaderKilledWithItsMachine pulls the plug of the leader's machine.
func TestLeaderKilledWithItsMachine(t *testing.T) {
	c := open(t)
	old, lease := c.mustLeader()
	boot := c.bootID(old)
	if err := old.Machine.PullPlug(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead := time.Now()
	c.await("the API answers without the dead master", 30*time.Second, func(ctx context.Context) (string, bool) {
		err := c.Cluster.Client().Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		return fmt.Sprint(err), err == nil
	})
	t.Logf("the API answers %.1f s after the plug was pulled", time.Since(dead).Seconds())
	m, next := c.awaitTakeover(lease, takeover+slack)
	t.Logf("%.1f s after the plug was pulled %s leads", next.Spec.AcquireTime.Sub(dead).Seconds(), m.NodeName)
	t.Run("a node joins", func(t *testing.T) { checkJoin(t, c) })
	c.mustRotate(m)
	if err := old.Machine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitBoot(old, boot)
	c.awaitCalm()
	if now, _ := c.mustLeader(); now.NodeName == old.NodeName {
		t.Errorf("%s was dead and leads again, though nobody else was", old.NodeName)
	}
}

// checkJoin has an instance join from nothing, with the agent that ships.
func checkJoin(t *testing.T, shared *trio) {
	c := &trio{Site: shared.Site, t: t}
	const group = "workers"
	c.mustTemplate(group, awssim.DefaultImageID)
	c.mustSize(group, 1)
	begin := time.Now()
	c.await("the instance is a Ready node", patience, func(ctx context.Context) (string, bool) {
		for _, i := range c.World.Instances() {
			if i.Group != group {
				continue
			}
			node, err := c.Cluster.Client().CoreV1().Nodes().Get(ctx, i.PrivateDNSName, metav1.GetOptions{})
			if err != nil {
				return fmt.Sprintf("%s is %s: %v", i.ID, i.State, err), false
			}
			want := fmt.Sprintf("aws:///%s/%s", i.Zone, i.ID)
			return fmt.Sprintf("%s: Ready %t, provider %s", node.Name, ready(node), node.Spec.ProviderID), ready(node) && node.Spec.ProviderID == want
		}
		return "no instance", false
	})
	t.Logf("Ready %.1f s after it was asked for, with two of three masters", time.Since(begin).Seconds())
}

// mustTemplate makes a launch template of a group's name, for nodes of the cluster.
func (c *trio) mustTemplate(group, imageID string) {
	c.t.Helper()
	data, err := site.NodeUserData(clusterName, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{
		ImageID: imageID, InstanceType: "t3.medium", RoleName: site.NodeRole,
		UserData: base64.StdEncoding.EncodeToString(data), HTTPTokens: "required", HopLimit: 1,
	})
}

// mustSize makes a group of its launch template have n instances, and no fewer.
func (c *trio) mustSize(group string, n int) {
	c.t.Helper()
	err := c.World.PutGroup(awssim.GroupSpec{
		Name: group, Min: n, Max: n, Desired: n, LaunchTemplate: group, LaunchTemplateVersion: "$Latest",
		Tags: []awssim.Tag{{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
			{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestMastersLeaderCutOff cuts the leader's machine off from the network, with a
// rotation asked for that it cannot make any more.
func TestMastersLeaderCutOff(t *testing.T) {
	c := open(t)
	old, lease := c.mustLeader()
	process, err := c.pid(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Machine.CutOff(); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	t.Cleanup(func() {
		if err := old.Machine.Connect(); err != nil {
			t.Error(err)
		}
	})
	c.mustExec(old, "systemctl", "reload", site.ControllerUnit)
	c.await("the leader that was cut off stops", leaseDuration+slack, func(ctx context.Context) (string, bool) {
		now, err := c.pid(ctx, old)
		return fmt.Sprintf("process %s (%v)", now, err), err == nil && now != process
	})
	ended := time.Now()
	t.Logf("cut off, it ended within %.1f s", ended.Sub(cut).Seconds())
	m, next := c.awaitTakeover(lease, takeover)
	if acquired := next.Spec.AcquireTime.Time; !ended.Before(acquired) {
		t.Errorf("%s leads since %s, its predecessor was seen to end only at %s", m.NodeName, acquired, ended)
	}
	c.mustRotate(m)
	token := c.mustLiveToken()
	if err := old.Machine.Connect(); err != nil {
		t.Fatal(err)
	}
	c.awaitCalm()
	if leads, _ := c.mustLeader(); leads.NodeName == old.NodeName {
		t.Error("the master that was cut off leads again, though the other was well")
	}
	for _, call := range c.World.Calls() {
		if call.Session == old.Machine.ID() && call.Time.After(cut) && writes(call) {
			t.Errorf("the old leader wrote: %s %s, %.1f s after it was cut off", call.Service, call.Action, call.Time.Sub(cut).Seconds())
		}
	}
	if now := c.mustLiveToken(); now != token {
		t.Errorf("the published token went from %s to %s", token, now)
	}
}

// writes says whether a call changes something in AWS.
func writes(c awssim.Call) bool {
	for _, reading := range []string{"Get", "Describe", "Decrypt", "/latest/"} {
		if strings.Contains(c.Action, reading) {
			return false
		}
	}
	return true
}

// TestMastersReboot reboots the leader's machine in good order.
func TestMastersReboot(t *testing.T) {
	c := open(t)
	old, lease := c.mustLeader()
	boot := c.bootID(old)
	if err := old.Machine.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitTakeover(lease, takeover)
	c.awaitBoot(old, boot)
	c.awaitCalm()
	c.mustLiveToken()
}

// TestMastersCredentialIsRenewedAndLost renews the leader's certificate, loses it and
// has the timer's service make it again: the process sees each of that through its
// sandbox, says so, and goes on without a restart.
func TestMastersCredentialIsRenewedAndLost(t *testing.T) {
	c := open(t)
	m, _ := c.mustLeader()
	pid, err := c.pid(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	first := c.mustExpiry(m)
	if left := time.Until(first); left < 0 || left > 24*time.Hour {
		t.Errorf("the certificate has %s left: expected a day at most", left)
	}

	// A longer life is asked for, so the one that is there has less than half of it.
	c.mustExec(m, "joinery-controller", "renew-credential", "--life", "100h")
	c.await("the controller sees the new certificate", patience, func(ctx context.Context) (string, bool) {
		at, err := c.expiry(ctx, m)
		return fmt.Sprint(at, err), err == nil && at.After(first.Add(48*time.Hour))
	})
	c.mustRotate(m)

	c.mustExec(m, "rm", clientPEM)
	c.await("the controller misses its certificate", patience, func(ctx context.Context) (string, bool) {
		body, err := c.Ask(ctx, m, "/readyz")
		return body, err != nil && strings.Contains(body, "client-certificate") && strings.Contains(body, "no such file")
	})
	if at := c.mustExpiry(m); at.Unix() != 0 {
		t.Errorf("the metric says %s for a certificate that is gone", at)
	}
	c.mustExec(m, "systemctl", "start", "joinery-credentials.service")
	c.awaitCalm()
	if again := c.mustExpiry(m); time.Until(again) < 23*time.Hour || time.Until(again) > 24*time.Hour {
		t.Errorf("the certificate that was made again ends at %s", again)
	}
	if now, err := c.pid(t.Context(), m); err != nil || now != pid {
		t.Errorf("process %s, then %s (%v): expected no restart", pid, now, err)
	}
	leads, _ := c.mustLeader()
	c.mustRotate(leads)
}
