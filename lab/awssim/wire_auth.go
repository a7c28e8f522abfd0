package awssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a signature's time may lie from ours.
const maxSkew = 15 * time.Minute

// signatureTime is how X-Amz-Date is written.
const signatureTime = "20060102T150405Z"

// principal is who made a request.
type principal struct{ role, session string }

// signature is what a signed request says about its signature: in the
// Authorization header, or in the query of a presigned URL.
type signature struct {
	key, date, region, service string
	headers                    []string // signed header names
	value                      string
	time                       string // X-Amz-Date
	token                      string // session token
	presigned                  bool
	validFor                   time.Duration // of a presigned URL
}

func parseSignature(r *http.Request) (signature, bool) {
	var s signature
	var credential, headers string
	if auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "); ok {
		for part := range strings.SplitSeq(auth, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				headers = value
			case "Signature":
				s.value = value
			}
		}
		s.time, s.token = r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Security-Token")
	} else if q := r.URL.Query(); q.Get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256" {
		credential, headers, s.value = q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Signature")
		s.time, s.token, s.presigned = q.Get("X-Amz-Date"), q.Get("X-Amz-Security-Token"), true
		seconds, _ := strconv.Atoi(q.Get("X-Amz-Expires"))
		s.validFor = time.Duration(seconds) * time.Second
	}
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return s, false
	}
	s.key, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
	s.headers = strings.Split(headers, ";")
	return s, true
}

// peekRole returns the role that a request claims, for matching faults.
func (w *World) peekRole(r *http.Request) string {
	s, ok := parseSignature(r)
	if !ok {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.sessions[s.key]; c != nil {
		return c.role
	}
	return ""
}

// authenticateLocked finds out who signed the request and whether the
// signature holds, as AWS Signature Version 4 defines it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (w *World) authenticateLocked(r *http.Request, service string, body []byte) (principal, error) {
	s, ok := parseSignature(r)
	if !ok {
		return principal{}, authError(service, "missing", "Request is missing Authentication Token")
	}
	c := w.sessions[s.key]
	if c == nil || c.token != s.token {
		return principal{}, authError(service, "unknown", "The security token included in the request is invalid.")
	}
	p := principal{c.role, c.session}
	now := time.Now()
	if !c.expires.IsZero() && !now.Before(c.expires) {
		return p, authError(service, "expired", "The security token included in the request is expired")
	}
	if err := s.inTime(service, now); err != nil {
		return p, err
	}
	if s.region != w.Region && (service != "iam" || s.region != w.iamRegion()) {
		return p, authError(service, "signature", "Credential should be scoped to a valid region, not '"+s.region+"'.")
	}
	if s.service != service {
		return p, authError(service, "signature", "Credential should be scoped to correct service: '"+service+"'.")
	}
	if name := s.unsigned(r); name != "" {
		return p, authError(service, "signature", "'"+name+"' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if want := s.compute(r, c.secret, body); !s.complete(r) || !hmac.Equal([]byte(want), []byte(s.value)) {
		return p, authError(service, "signature", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return p, nil
}

// inTime holds the time of the signature against ours. STS accepts a presigned
// request for 15 minutes whatever its X-Amz-Expires says; the other services
// keep to that.
// https://github.com/kubernetes-sigs/aws-iam-authenticator/blob/master/pkg/token/token.go
func (s signature) inTime(service string, now time.Time) error {
	at, err := time.Parse(signatureTime, s.time)
	if err != nil || !strings.HasPrefix(s.time, s.date) {
		return authError(service, "signature", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+s.date+"' != '"+s.time+"'")
	}
	limit := maxSkew
	if s.presigned && s.validFor > 0 && service != "sts" {
		limit = s.validFor
	}
	stamp := func(t time.Time) string { return t.UTC().Format(signatureTime) }
	minutes := func(d time.Duration) string { return strconv.FormatFloat(d.Minutes(), 'f', -1, 64) + " min.)" }
	switch {
	case at.Sub(now) > maxSkew:
		return authError(service, "stale", "Signature not yet current: "+s.time+" is still later than "+stamp(now.Add(maxSkew))+" ("+stamp(now)+" + "+minutes(maxSkew))
	case now.Sub(at) > limit:
		return authError(service, "stale", "Signature expired: "+s.time+" is now earlier than "+stamp(now.Add(-limit))+" ("+stamp(now)+" - "+minutes(limit))
	}
	return nil
}

// unsigned returns a header that has to be under the signature and is not:
// Host, and all that AWS gives a meaning. Other headers may be added by anyone.
func (s signature) unsigned(r *http.Request) string {
	if !slices.Contains(s.headers, "host") {
		return "host"
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(s.headers, name) {
			return name
		}
	}
	return ""
}

// complete reports that each signed header was sent: one that was signed empty
// cannot be left out.
func (s signature) complete(r *http.Request) bool {
	return !slices.ContainsFunc(s.headers, func(name string) bool {
		return name != "host" && name != "content-length" && len(r.Header.Values(name)) == 0
	})
}

// compute is the signature that the holder of secret would have made.
func (s signature) compute(r *http.Request, secret string, body []byte) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical := strings.Join([]string{r.Method, path, canonicalQuery(r.URL.Query()), s.canonicalHeaders(r),
		strings.Join(s.headers, ";"), hexSum(body)}, "\n")
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", s.time, scope, hexSum([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request", toSign} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func (s signature) canonicalHeaders(r *http.Request) string {
	var b strings.Builder
	for _, name := range s.headers {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		b.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	return b.String()
}

func canonicalQuery(q url.Values) string {
	q.Del("X-Amz-Signature")
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// authError is a service's way to refuse a caller whom it does not know.
func authError(service, kind, message string) *apiError {
	family := service
	switch service {
	case "ssm", "kms", "sqs":
		family = "json"
	case "sts", "autoscaling", "iam":
		family = "query"
	}
	codes := map[string]apiError{
		"json/missing":    {code: "MissingAuthenticationTokenException", status: 400},
		"json/unknown":    {code: "UnrecognizedClientException", status: 400},
		"json/expired":    {code: "ExpiredTokenException", status: 400},
		"json/signature":  {code: "InvalidSignatureException", status: 400},
		"json/stale":      {code: "InvalidSignatureException", status: 400},
		"query/missing":   {code: "MissingAuthenticationToken", status: 403},
		"query/unknown":   {code: "InvalidClientTokenId", status: 403},
		"query/expired":   {code: "ExpiredToken", status: 403},
		"query/signature": {code: "SignatureDoesNotMatch", status: 403},
		"query/stale":     {code: "SignatureDoesNotMatch", status: 403},
		"ec2/missing":     {code: "MissingAuthenticationToken", status: 403},
		"ec2/unknown":     {code: "AuthFailure", status: 401},
		"ec2/expired":     {code: "RequestExpired", status: 400},
		"ec2/signature":   {code: "SignatureDoesNotMatch", status: 403},
		"ec2/stale":       {code: "RequestExpired", status: 400},
	}
	e := codes[family+"/"+kind]
	e.message = message
	return &e
}
