package attest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/quote"
)

// signed is a presigned request, taken apart.
type signed struct {
	scheme, host string
	query        url.Values
	at           time.Time
	region       string
}

// Parameters of a presigned request (IAM User Guide, "Create a signed AWS API
// request"), each of which must be there once; X-Amz-Expires may be, and means
// nothing to STS.
const (
	paramDate       = "X-Amz-Date"
	paramCredential = "X-Amz-Credential"
	paramExpires    = "X-Amz-Expires"
	dateForm        = "20060102T150405Z"
)

// fixed are the parameters that have one value.
var fixed = map[string]string{
	"Action": "GetCallerIdentity", "Version": "2011-06-15", "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
	"X-Amz-SignedHeaders": "host;" + v1alpha1.ProofClusterHeader + ";" + v1alpha1.ProofRequestHeader,
}

// open are those that must be there with a value of their own.
var open = []string{paramCredential, paramDate, "X-Amz-Security-Token", "X-Amz-Signature"}

// parse takes a proof apart and refuses what is not of the one form that agents
// make: what is not checked here could change what is asked of STS. It repeats
// nothing of the proof but names.
func parse(proof string) (signed, error) {
	var s signed
	if len(proof) > v1alpha1.MaxProofBytes {
		return s, isFalse(Malformed, "%d bytes: expected at most %d", len(proof), v1alpha1.MaxProofBytes)
	}
	u, err := url.Parse(proof)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" || (u.Path != "/" && u.Path != "") {
		return s, isFalse(Malformed, "it is not the URL of a presigned request")
	}
	s.scheme, s.host = u.Scheme, u.Host
	if s.query, err = url.ParseQuery(u.RawQuery); err != nil {
		return s, isFalse(Malformed, "its query does not parse")
	}
	if err := s.checkQuery(); err != nil {
		return s, err
	}
	if s.at, err = time.Parse(dateForm, s.query.Get(paramDate)); err != nil {
		return s, isFalse(Malformed, "%s is no time of the form %s", paramDate, dateForm)
	}
	scope := strings.Split(s.query.Get(paramCredential), "/")
	if len(scope) != 5 || scope[3] != "sts" || scope[4] != "aws4_request" || scope[1] != s.at.Format("20060102") {
		return s, isFalse(Malformed, "%s has another scope than STS at the time of the signature", paramCredential)
	}
	s.region = scope[2]
	return s, nil
}

func (s signed) checkQuery() error {
	for name, values := range s.query {
		_, known := fixed[name]
		if !known && !slices.Contains(open, name) && name != paramExpires {
			return isFalse(Malformed, "it has a parameter that such a request has not")
		}
		if len(values) != 1 {
			return isFalse(Malformed, "%s stands there %d times", name, len(values))
		}
	}
	for name, want := range fixed {
		if s.query.Get(name) != want {
			return isFalse(Malformed, "%s is not %s", name, want)
		}
	}
	for _, name := range open {
		if s.query.Get(name) == "" {
			return isFalse(Malformed, "%s is missing", name)
		}
	}
	return nil
}

// honoured is how long STS takes a signature for good, with a minute to spare.
const honoured = 14 * time.Minute

// checkTime binds the proof to the moment of its request: of a proof that was
// found in an old object or made in advance, nothing is believed.
func (s signed) checkTime(created, now time.Time) error {
	if apart := created.Sub(s.at); apart.Abs() > v1alpha1.MaxProofAge {
		return &FalseError{Why: Skewed, Ahead: -apart, Detail: fmt.Sprintf("it was signed %s its request was created: expected at most %s between them", before(apart), v1alpha1.MaxProofAge)}
	}
	if age := now.Sub(s.at); age > honoured {
		return isFalse(Expired, "it was signed %s ago: expected at most %s", age.Round(time.Second), honoured)
	}
	return nil
}

func before(apart time.Duration) string {
	if apart < 0 {
		return (-apart).Round(time.Second).String() + " after"
	}
	return apart.Round(time.Second).String() + " before"
}

// checkEndpoint pins the host: a request to any other would be answered by
// whoever is there.
func (s signed) checkEndpoint(own *url.URL, region string) error {
	if s.scheme != own.Scheme || s.host != own.Host {
		return isFalse(OtherEndpoint, "it was signed for %s: expected %s", quote.Text(s.scheme+"://"+s.host), own.Scheme+"://"+own.Host)
	}
	if s.region != region {
		return isFalse(OtherEndpoint, "it was signed for region %s: expected %q", quote.Text(s.region), region)
	}
	return nil
}
