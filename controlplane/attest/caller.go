package attest

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxAnswer bounds what is read of an answer; an honest one has under 1 KB.
const maxAnswer = 64 << 10

// caller is the answer of GetCallerIdentity (STS API Reference).
type caller struct {
	XMLName xml.Name `xml:"GetCallerIdentityResponse"`
	Arn     string   `xml:"GetCallerIdentityResult>Arn"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
}

type failure struct {
	Code string `xml:"Error>Code"`
}

// rejections are the codes by which STS says that it does not know the signer or
// does not accept the signature (STS API Reference, "Common Errors"). With any
// other it says nothing about the proof: throttling, an outage, or a policy of a
// VPC endpoint.
var rejections = []string{
	"SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException", "RequestExpired",
	"IncompleteSignature", "MissingAuthenticationToken", "UnrecognizedClientException", "InvalidAccessKeyId",
}

// ask sends the request with the headers that the verifier has computed.
func (v *Verifier) ask(ctx context.Context, s signed, endpoint *url.URL, headers map[string]string) (caller, error) {
	to := *endpoint
	to.RawQuery = s.query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return caller{}, errors.New("verify proof: make the request to STS")
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := v.client.Do(req)
	if err != nil {
		// The error of net/http repeats the URL, which is the proof.
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return caller{}, fmt.Errorf("verify proof: ask STS: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return caller{}, fmt.Errorf("verify proof: read the answer of STS: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return caller{}, refusal(res.StatusCode, body)
	}
	var c caller
	if err := xml.Unmarshal(body, &c); err != nil {
		return caller{}, errors.New("verify proof: the answer of STS is no answer to GetCallerIdentity")
	}
	return c, nil
}

func refusal(status int, body []byte) error {
	var f failure
	_ = xml.Unmarshal(body, &f) // what does not parse has no code
	if status >= 400 && status < 500 && slices.Contains(rejections, f.Code) {
		return isFalse(Rejected, "STS does not accept the signature (%s)", f.Code)
	}
	return fmt.Errorf("verify proof: STS answered with status %d %s", status, clip(f.Code))
}

// identity reads who the caller is: a session of a role.
func (c caller) identity() (Identity, error) {
	partition, account, resource, err := splitARN(c.Arn)
	if err != nil || account != c.Account {
		return Identity{}, errors.New("verify proof: the answer of STS names no account or two")
	}
	parts := strings.Split(resource, "/")
	if len(parts) != 3 || parts[0] != "assumed-role" {
		return Identity{}, isFalse(OtherIdentity, "the signer is %s: expected an instance's role", clip(resource))
	}
	id := Identity{Partition: partition, Account: account, Role: parts[1], InstanceID: parts[2]}
	// The unique id of the caller ends in the same session.
	if _, session, ok := strings.Cut(c.UserID, ":"); !ok || session != id.InstanceID {
		return Identity{}, errors.New("verify proof: the answer of STS names two sessions")
	}
	return id, nil
}

// splitARN reads arn:<partition>:sts::<account>:<resource>.
func splitARN(arn string) (partition, account, resource string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || (parts[2] != "sts" && parts[2] != "iam") || len(parts[4]) != 12 {
		return "", "", "", fmt.Errorf("%q is no ARN of an identity", clip(arn))
	}
	return parts[1], parts[4], parts[5], nil
}
