package main

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/posture"
)

// posture returns the service that says loudly when requests are approved
// without having been judged. That the weaker token for old user data is on is
// shown beside it: neither should last.
func (a assembly) posture() leader.Service {
	legacy := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "joinery_legacy_token_enabled",
		Help: "1 while spec.bundle.legacyTokenParameter publishes a token for old user data, which is weaker.",
	})
	if a.spec.Bundle.LegacyTokenParameter != "" {
		legacy.Set(1)
	}
	a.reg.MustRegister(legacy)
	w := &posture.Watch{
		Meter:   a.meter,
		Reviews: a.client.AuthorizationV1().SubjectAccessReviews(),
		Events:  a.events,
		About:   theLease(),
		Metrics: posture.NewMetrics(a.reg),
		Log:     a.log.With("part", "posture"),
		Asked:   func() { a.progress.Done("posture") },
	}
	return leader.Service{Name: "posture", Run: w.Run}
}

// theLease is what operators look at when they look at the controller.
func theLease() *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: metav1.NamespaceSystem, Name: leader.LeaseName}
}
