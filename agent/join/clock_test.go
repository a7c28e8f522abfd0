package join_test

import (
	"errors"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
)

func TestWrongClockIsWaitedOut(t *testing.T) {
	for name, tc := range map[string]struct {
		server time.Duration // how far the API server's clock is ahead of ours
		wrong  bool
	}{
		"right":        {0, false},
		"nearly right": {30 * time.Second, false},
		"behind":       {340 * time.Second, true},
		"ahead":        {-2 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := paths(t)
			server := newAPIServer(t, newAuthority(t))
			server.now = func() time.Time { return time.Now().Add(tc.server) }
			j, _, _ := joiner(p)
			_, err := j.Request(t.Context(), node(t, nil), server.bundle())
			var clock *join.ClockError
			if errors.As(err, &clock) != tc.wrong || !tc.wrong && err != nil {
				t.Fatalf("got %v", err)
			}
			if tc.wrong == (len(server.made) > 0) {
				t.Errorf("%d requests were made", len(server.made))
			}
			if tc.wrong && (clock.Ahead+tc.server).Abs() > time.Minute {
				t.Errorf("the clock is found to be %s ahead, want %s", clock.Ahead, -tc.server)
			}
			server.now = nil
			if _, err := j.Request(t.Context(), node(t, nil), server.bundle()); err != nil {
				t.Errorf("with the clock set: %v", err)
			}
		})
	}
}

// The approver's word makes the next request one with a new proof and the same key.
func TestAskedAgain(t *testing.T) {
	p := paths(t)
	server := newAPIServer(t, newAuthority(t))
	server.says = &certificatesv1.CertificateSigningRequestCondition{
		Type: v1alpha1.AskAgainCondition, Status: "True", Reason: v1alpha1.AskAgainProofAged, Message: "it waited for 3m0s",
	}
	j, _, _ := joiner(p)
	_, err := j.Request(t.Context(), node(t, nil), server.bundle())
	var again *join.AskAgainError
	if !errors.As(err, &again) || again.Message != "it waited for 3m0s" || again.Waits() > time.Minute {
		t.Fatalf("got %v", err)
	}
	server.says = nil
	if _, err := j.Request(t.Context(), node(t, nil), server.bundle()); err != nil {
		t.Fatal(err)
	}
	a, b := server.made[0], server.made[1]
	if string(a.Spec.Request) == string(b.Spec.Request) || a.Annotations[v1alpha1.STSProofAnnotation] == b.Annotations[v1alpha1.STSProofAnnotation] {
		t.Error("the second request carries the proof of the first")
	}
}
