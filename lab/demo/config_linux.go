package demo

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// watchable gives the controller waiting times that a person can watch, and then
// what further wants.
func watchable(further func(*v1alpha1.ControllerSpec)) func(*v1alpha1.ControllerSpec) {
	return func(s *v1alpha1.ControllerSpec) {
		// Counted from the start: on the hour, a run across it would see one
		// rotation more.
		s.Token.Schedule = "@every 1h"
		s.Token.Overlap = metav1.Duration{Duration: time.Minute}
		s.Autoscaler.ScaleDown.IdleDelay = metav1.Duration{Duration: 10 * time.Second}
		if further != nil {
			further(s)
		}
	}
}
