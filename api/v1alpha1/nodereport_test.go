package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/api/v1alpha1"
)

func report() v1alpha1.NodeReport {
	return v1alpha1.NodeReport{InstanceID: "i-0123456789abcdef0", AgentVersion: "v0.1.0", TokenID: "abcdef", ReportedAt: issued,
		Boot: []v1alpha1.BootPhase{{Phase: "identity", StartedAt: issued, Milliseconds: 12, Attempts: 1}}}
}

func TestNodeReportRoundTrip(t *testing.T) {
	want := report()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := v1alpha1.DecodeNodeReport(data)
	if err != nil {
		t.Fatal(err)
	}
	want.TypeMeta = v1alpha1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindNodeReport}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("report changed on its way (-want +got):\n%s", diff)
	}
}

func TestNodeReportProblems(t *testing.T) {
	r := report()
	r.InstanceID, r.Boot[0].Milliseconds, r.Boot[0].Phase = "i-1", -1, "Two Words"
	_, err := r.Encode()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"instanceID", "boot[0].phase", "boot[0].milliseconds"} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%v: does not name %s", err, field)
		}
	}
}

func TestReadyReasons(t *testing.T) {
	for _, r := range []v1alpha1.ReadyReason{v1alpha1.Idle, v1alpha1.Drained} {
		if !r.Ready() {
			t.Errorf("%s is not ready", r)
		}
	}
	for _, r := range []v1alpha1.ReadyReason{v1alpha1.PodsRunning, v1alpha1.InhibitorHeld, v1alpha1.HoldFile, v1alpha1.Joining, v1alpha1.Draining, ""} {
		if r.Ready() {
			t.Errorf("%q is ready", r)
		}
	}
}

func FuzzDecodeNodeReport(f *testing.F) {
	r := report()
	data, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := v1alpha1.DecodeNodeReport(data)
		if err != nil {
			return
		}
		if _, err := got.Encode(); err != nil {
			t.Errorf("what was accepted cannot be encoded: %v", err)
		}
	})
}
