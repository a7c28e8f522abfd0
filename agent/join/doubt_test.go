package join

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

type oneKind struct{}

func (oneKind) Prove(context.Context, string, []byte) (string, error) { return "", nil }

type twoKinds struct {
	oneKind
	doubts int
}

func (k *twoKinds) Doubt() { k.doubts++ }

func TestProverIsToldOfDoubts(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("API server is away"), 0},
		{&DeniedError{Reason: "JoineryProofRejected"}, 1},
		{fmt.Errorf("join: %w", &DeniedError{Reason: "JoineryProofOtherKind"}), 1},
		{&DeniedError{Reason: "JoineryProofOtherIdentity"}, 1},
		{&DeniedError{Reason: "JoineryProofExpired"}, 0},
		{&DeniedError{Reason: "JoineryProofOtherInstance"}, 0},
		{&DeniedError{Reason: "JoineryAlreadyJoined"}, 0},
		{&SignerError{}, 0},
		{&PendingError{}, 1},
		{&PendingError{Approved: true}, 0},
	} {
		p := &twoKinds{}
		doubt(p, test.err)
		if p.doubts != test.want {
			t.Errorf("%v: %d doubts: expected %d", test.err, p.doubts, test.want)
		}
		doubt(oneKind{}, test.err)
	}
}
