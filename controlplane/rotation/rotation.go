// Package rotation lets an operator ask the leading controller for a new join
// token through the API server, and hear what became of it: requests and answers
// are entries of one ConfigMap. A request outlives the leader that read it.
package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// ConfigMapName is the ConfigMap in kube-system that holds the requests.
const ConfigMapName = "joinery-rotation"

// Entries of the ConfigMap are named by what they are and the request's id.
const (
	requestPrefix = "request."
	answerPrefix  = "answer."
)

// Answer is what became of a request.
type Answer struct {
	// TokenID is the public half of the published token.
	TokenID string
	// ExpiresAt is when it stops to work.
	ExpiresAt time.Time
	// At is when the request was answered, by the controller's clock.
	At time.Time
}

// ProblemError says that the controller gave a request up.
type ProblemError struct {
	// ID of the request.
	ID string
	// Problem is what the controller met, At when.
	Problem string
	At      time.Time
}

// Error says what the controller met.
func (e *ProblemError) Error() string { return "the controller could not rotate: " + e.Problem }

// ErrUnknown says that there is no such request: it was never asked, or it was
// answered so long ago that it is forgotten.
var ErrUnknown = errors.New("no such request")

// answer is an Answer, or a problem, as it is written.
type answer struct {
	TokenID   string    `json:"tokenID,omitempty"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	At        time.Time `json:"at"`
	Problem   string    `json:"problem,omitempty"`
}

// Ask asks for a rotation and returns the id of the request.
func Ask(ctx context.Context, client kubernetes.Interface) (id string, err error) {
	id = uuid.NewString()
	data := map[string]string{requestPrefix + id: time.Now().UTC().Format(time.RFC3339)}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return "", fmt.Errorf("ask for rotation: %w", err)
	}
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	// Twice, as somebody else may make the ConfigMap in between.
	for range 2 {
		_, err = maps.Patch(ctx, ConfigMapName, types.MergePatchType, patch, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			break
		}
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: ConfigMapName}, Data: data}, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("ask for rotation: %w", err)
	}
	return id, nil
}

// poll is how often Await looks.
const poll = 500 * time.Millisecond

// Await waits until the controller answered the request, and no longer than ctx.
// Errors are *ProblemError when the controller gave it up, and ErrUnknown; that
// the API server does not answer is waited for like the controller.
func Await(ctx context.Context, client kubernetes.Interface, id string) (Answer, error) {
	for {
		cm, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, ConfigMapName, metav1.GetOptions{})
		if err == nil || apierrors.IsNotFound(err) {
			a, done, err := find(cm, id)
			if done || err != nil {
				return a, err
			}
		}
		select {
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("await rotation: %w", errors.Join(ctx.Err(), err))
		case <-time.After(poll):
		}
	}
}

// find reads the answer to a request.
func find(cm *corev1.ConfigMap, id string) (Answer, bool, error) {
	var data map[string]string
	if cm != nil {
		data = cm.Data
	}
	text, answered := data[answerPrefix+id]
	if !answered {
		if _, asked := data[requestPrefix+id]; !asked {
			return Answer{}, false, fmt.Errorf("await rotation %s: %w", id, ErrUnknown)
		}
		return Answer{}, false, nil
	}
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return Answer{}, false, fmt.Errorf("await rotation %s: read answer: %w", id, err)
	}
	if a.Problem != "" {
		return Answer{}, false, &ProblemError{ID: id, Problem: a.Problem, At: a.At}
	}
	return Answer{TokenID: a.TokenID, ExpiresAt: a.ExpiresAt, At: a.At}, true, nil
}

// open lists the requests that have no answer.
func open(cm *corev1.ConfigMap) []string {
	var out []string
	for key := range cm.Data {
		id, request := strings.CutPrefix(key, requestPrefix)
		if _, answered := cm.Data[answerPrefix+id]; request && !answered && wellFormed(id) {
			out = append(out, id)
		}
	}
	return out
}

// wellFormed leaves entries alone that Ask did not make: an id becomes part of
// an annotation.
func wellFormed(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
