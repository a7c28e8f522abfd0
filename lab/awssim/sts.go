package awssim

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

func stsActions() map[string]action {
	return map[string]action{
		"GetCallerIdentity": {run: (*World).getCallerIdentity},
		"AssumeRole":        {run: (*World).assumeRole, params: "RoleArn RoleSessionName DurationSeconds"},
	}
}

// getCallerIdentity names the caller. An instance's role session is named after
// the instance, which is what makes a signed call a proof of being it.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (w *World) getCallerIdentity(req *request) (any, error) {
	c := req.caller
	return []node{
		el("Arn", w.sessionARN(c)),
		el("UserId", w.callerID(c)),
		el("Account", w.AccountID),
	}, nil
}

// roleID is the unique id of a role; it is stable and differs between roles.
func roleID(role string) string {
	sum := sha256.Sum256([]byte(role))
	return "AROA" + strings.ToUpper(hex.EncodeToString(sum[:]))[:17]
}
