package rotation_test

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/controlplane/rotation"
)

// Whatever stands in an answer, it is read as one, as a problem, or not at all.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"tokenID":"abcdef","expiresAt":"2026-11-24T12:00:00Z","at":"2026-11-24T09:00:00Z"}`)
	f.Add(`{"problem":"SSM is away","at":"2026-11-24T09:00:00Z"}`)
	f.Add(`{"at":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: rotation.ConfigMapName},
			Data: map[string]string{"request.x": "", "answer.x": text}})
		a, err := rotation.Await(t.Context(), client, "x")
		var problem *rotation.ProblemError
		if err != nil && a != (rotation.Answer{}) || errors.As(err, &problem) && problem.Problem == "" {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	})
}
