package csr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

// ImagesName is the ConfigMap in kube-system that remembers the machine images of
// which an instance joined by its instance identity. No kubelet can write it.
const ImagesName = "joinery-proven-images"

// Bounds of what is remembered: each image that is in use is renewed once a day,
// and of more than maxImages the ones that were seen longest ago go.
const (
	maxImages  = 200
	imageRenew = 24 * time.Hour
)

// Images remembers which machine images boot agents that prove the instance
// identity. Instances of one image have the same agent, and EC2 serves the
// identity to all or to none of a region, so that a proof by another role is not
// what such an instance would have sent.
//
// An image, and not the whole cluster, is held to that: while images are rolled,
// those with an old agent have to join too.
type Images struct {
	client  configMaps
	writing sync.Mutex
}

// NewImages returns the images that are remembered in kube-system.
func NewImages(client configMaps) *Images { return &Images{client: client} }

// All returns the images and when each was last seen to do so.
func (m *Images) All(ctx context.Context) (map[string]time.Time, error) {
	_, all, err := m.read(ctx)
	return all, err
}

func (m *Images) read(ctx context.Context) (*corev1.ConfigMap, map[string]time.Time, error) {
	cm, err := m.client.Get(ctx, ImagesName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, map[string]time.Time{}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read proven images: %w", err)
	}
	all := make(map[string]time.Time, len(cm.Data))
	for image, text := range cm.Data {
		// A time that does not parse makes the entry old and not untrue.
		at, _ := time.Parse(time.RFC3339, text)
		all[image] = at
	}
	return cm, all, nil
}

// Record remembers that an instance of image proved its identity at now.
func (m *Images) Record(ctx context.Context, image string, now time.Time) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		cm, all, err := m.read(ctx)
		if err != nil {
			return err
		}
		if at, known := all[image]; known && now.Sub(at) < imageRenew {
			return nil
		}
		all[image] = now
		oldest := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[a].Compare(all[b]) })
		for _, old := range oldest[:max(0, len(all)-maxImages)] {
			delete(all, old)
		}
		return m.write(ctx, cm, all)
	})
}

func (m *Images) write(ctx context.Context, cm *corev1.ConfigMap, all map[string]time.Time) error {
	data := make(map[string]string, len(all))
	for image, at := range all {
		data[image] = at.UTC().Format(time.RFC3339)
	}
	var err error
	if cm == nil {
		_, err = m.client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: ImagesName, Namespace: metav1.NamespaceSystem}, Data: data,
		}, metav1.CreateOptions{})
	} else {
		next := cm.DeepCopy()
		next.Data = data
		_, err = m.client.Update(ctx, next, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("record proven image: %w", err)
	}
	return nil
}

// binds reports whether the image decides about a proof of that kind: only where
// either kind would be good.
func (p Policy) binds(k v1alpha1.ProofKind) bool {
	return k == v1alpha1.ProofNodeRole && p.Kind != v1alpha1.ProofNodeRole
}

// checkImage refuses the weaker proof for an instance that would have made the
// stronger one: any other principal that may assume the nodes' role could have
// made it.
func checkImage(_ Request, f Facts, i fleet.Instance, _ time.Time, p Policy) *Verdict {
	who := f.Proof.Identity
	if who == nil || !p.binds(who.Kind) {
		return nil
	}
	if _, proven := f.Images[i.ImageID]; proven {
		return deny(ProofOtherKind, "the proof for instance %s is by role %q, and instances of its image %s prove their instance identity", i.ID, who.Role, i.ImageID)
	}
	return nil
}
