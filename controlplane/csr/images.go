package csr

import (
	"context"
	"maps"
	"slices"
	"time"

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
	seen ledger[time.Time] // by image, when an instance of it last did so
}

// NewImages returns the images that are remembered in kube-system.
func NewImages(client configMaps) *Images {
	return &Images{ledger[time.Time]{client: client, name: ImagesName, what: "proven images", decode: decodeSeen, encode: encodeSeen}}
}

// decodeSeen never fails: a time that does not parse makes the entry old and not untrue.
func decodeSeen(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, nil
	}
	return at, nil
}

func encodeSeen(at time.Time) (string, error) { return at.UTC().Format(time.RFC3339), nil }

// All returns the images and when each was last seen to do so.
func (m *Images) All(ctx context.Context) (map[string]time.Time, error) { return m.seen.all(ctx) }

// Record remembers that an instance of image proved its identity at now.
func (m *Images) Record(ctx context.Context, image string, now time.Time) error {
	return m.seen.update(ctx, func(all map[string]time.Time) (bool, error) {
		if at, known := all[image]; known && now.Sub(at) < imageRenew {
			return false, nil
		}
		all[image] = now
		oldest := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[a].Compare(all[b]) })
		for _, old := range oldest[:max(0, len(all)-maxImages)] {
			delete(all, old)
		}
		return true, nil
	})
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
