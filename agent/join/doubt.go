package join

import "errors"

// doubter is a Prover that has more than one kind of proof.
type doubter interface {
	// Doubt has the next proof be of another kind than the last one, if there is
	// another.
	Doubt()
}

// doubtful are the approver's reasons that another kind of proof may not meet.
var doubtful = map[string]bool{"JoineryProofRejected": true, "JoineryProofOtherIdentity": true, "JoineryProofOtherKind": true}

// doubt tells the prover of an outcome that its kind of proof may be the cause of:
//   - a denial of what STS did not accept, or the cluster's settings do not;
//   - no decision in time: the approver holds a request about whose proof STS says
//     nothing, such as one that a VPC endpoint's policy stops.
func doubt(p Prover, err error) {
	d, can := p.(doubter)
	var denied *DeniedError
	var pending *PendingError
	if can && (errors.As(err, &denied) && doubtful[denied.Reason] || errors.As(err, &pending) && !pending.Approved) {
		d.Doubt()
	}
}
