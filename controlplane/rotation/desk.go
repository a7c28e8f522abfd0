package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/output"
)

// rotator is the part of token.Rotator that Desk uses. For one id it makes one
// token, however often and by whomever it is asked.
type rotator interface {
	Reconcile(ctx context.Context, requests ...string) (token.Round, error)
}

// Desk answers requests. It keeps no state of its own.
type Desk struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Rotator makes and publishes the tokens.
	Rotator rotator
	// Confirm says whether this process leads; only a leader may give a request
	// up. Nil: it always does.
	Confirm func(context.Context) error
	// Log gets one line for each answer.
	Log *slog.Logger
	// Meter counts the rounds; nil for none.
	Meter *drive.Meter
}

const (
	// tryFor is how long a request is tried for before it is given up: long
	// enough for a throttled call, short enough for a caller who waits.
	tryFor = time.Minute
	// idle is the longest rest; every change of the ConfigMap ends it.
	idle = time.Hour
	// pause follows a failure.
	pause = 2 * time.Second
	// remembered is how long an answer can be read.
	remembered = time.Hour
)

// Access is what a Desk does with the API server.
var Access = []drive.Access{{
	Resource: "configmaps", Verbs: []string{"get", "list", "watch", "update"}, Namespace: metav1.NamespaceSystem, Names: []string{ConfigMapName},
}}

// Run answers requests until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	changed := drive.NewWake()
	factory := informers.NewSharedInformerFactoryWithOptions(d.Client, 0,
		informers.WithNamespace(metav1.NamespaceSystem),
		// RBAC allows to watch this one by its name only.
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, ConfigMapName).String()
		}))
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed.Now() }, UpdateFunc: func(_, _ any) { changed.Now() },
	})
	if err != nil {
		return fmt.Errorf("watch rotation requests: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	return drive.Rounds{
		Name: "rotation", Every: idle, Retry: drive.Backoff{First: pause, Last: pause}, Wake: changed, Meter: d.Meter, Log: d.Log,
		Round: func(ctx context.Context) (rest time.Duration, err error) {
			if err := d.serve(ctx); err != nil {
				return 0, fmt.Errorf("answer rotation requests: %w", err)
			}
			return 0, nil
		},
	}.Run(ctx)
}

// serve answers what is open now.
func (d *Desk) serve(ctx context.Context) error {
	cm, err := d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, ConfigMapName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ids := open(cm)
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	a, err := d.rotate(ctx, ids)
	if err != nil {
		return err
	}
	return d.reply(ctx, ids, a)
}

// rotate has a token published for ids. An error leaves them open.
func (d *Desk) rotate(ctx context.Context, ids []string) (answer, error) {
	bounded, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	for {
		round, err := d.Rotator.Reconcile(bounded, ids...)
		if err == nil {
			return answer{TokenID: round.TokenID, ExpiresAt: round.ExpiresAt, At: time.Now().UTC()}, nil
		}
		if ctx.Err() != nil {
			return answer{}, ctx.Err() // the next leader answers
		}
		if final(err) || bounded.Err() != nil {
			if d.Confirm != nil {
				if err := d.Confirm(ctx); err != nil {
					return answer{}, err
				}
			}
			return answer{Problem: output.Line(err.Error()), At: time.Now().UTC()}, nil
		}
		select {
		case <-bounded.Done():
		case <-time.After(pause):
		}
	}
}

// final says whether trying again is of no use until somebody acts.
func final(err error) bool {
	var notOurs *bundle.NotOursError
	var size *v1alpha1.BundleSizeError
	var invalid *v1alpha1.InvalidError
	return errors.As(err, &notOurs) || errors.As(err, &size) || errors.As(err, &invalid) || errors.Is(err, bundle.ErrNoEndpoint)
}

// reply writes the answer to each of ids that has none yet.
func (d *Desk) reply(ctx context.Context, ids []string, a answer) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	maps := d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		cm, err := maps.Get(ctx, ConfigMapName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, id := range open(cm) {
			if slices.Contains(ids, id) {
				cm.Data[answerPrefix+id] = string(text)
			}
		}
		forget(cm, a.At.Add(-remembered))
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	d.Log.Info("rotation requests answered", "requests", ids, "tokenID", a.TokenID, "problem", a.Problem)
	return nil
}

// forget removes what was answered before then, and answers that cannot be read.
func forget(cm *corev1.ConfigMap, then time.Time) {
	for key, text := range cm.Data {
		id, is := strings.CutPrefix(key, answerPrefix)
		if !is {
			continue
		}
		var a answer
		if err := json.Unmarshal([]byte(text), &a); err != nil || a.At.Before(then) {
			delete(cm.Data, key)
			delete(cm.Data, requestPrefix+id)
		}
	}
}
