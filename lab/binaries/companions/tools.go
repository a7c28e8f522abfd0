//go:build tools

// Package companions pins the programs that stand beside Joinery in a cluster whose
// Deployments scale: metrics-server and the Vertical Pod Autoscaler. A module of its
// own, as the checksum of Kubernetes' names what was built of that.
package companions

import (
	_ "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller"
	_ "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender"
	_ "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater"
	_ "sigs.k8s.io/metrics-server/cmd/metrics-server"
)
