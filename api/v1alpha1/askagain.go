package v1alpha1

import (
	"fmt"
	"strings"
	"time"
)

// AskAgainCondition is the type of the condition by which the approver says that
// a signing request will never be approved, through no fault of the instance: the
// node is to make another one. It decides nothing. The API server keeps conditions
// of any type on the approval subresource (Kubernetes API Reference,
// CertificateSigningRequestCondition), and the holder of a token may read them.
const AskAgainCondition = "JoineryAskAgain"

// The reasons of an AskAgainCondition.
const (
	// AskAgainClockSkew: the proof of identity was signed too long before or after
	// its request was created. The node asks again when its clock is right.
	AskAgainClockSkew = "JoineryClockSkew"
	// AskAgainProofAged: the proof grew too old while the request waited on the
	// cluster. The node asks again at once.
	AskAgainProofAged = "JoineryProofAged"
)

// SkewMessage returns the message of an AskAgainClockSkew: how far the node's clock
// is ahead of the API server's, or behind it when negative, and what that means.
func SkewMessage(ahead time.Duration, detail string) string {
	return fmt.Sprintf("skew %s: %s", ahead.Round(time.Second), detail)
}

// Skew returns how far the node's clock is ahead, of a message of SkewMessage; false
// for any other text.
func Skew(message string) (ahead time.Duration, ok bool) {
	text, _, found := strings.Cut(message, ":")
	text, prefixed := strings.CutPrefix(text, "skew ")
	if !found || !prefixed {
		return 0, false
	}
	ahead, err := time.ParseDuration(text)
	return ahead, err == nil
}
