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

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/quote"
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
	return fmt.Errorf("verify proof: STS answered with status %d %s", status, quote.Text(f.Code))
}

// identityRole is the name of the instance identity role in the ARN of a caller:
//
//	arn:<partition>:sts::<account>:assumed-role/aws:ec2-instance/<instance-id>
//
// with the unique id <account>:aws:ec2-instance:<instance-id>. AWS documents the
// role, and shows this form in a sample of a CloudTrail event. That
// GetCallerIdentity answers with it is known from public reports, and was not
// tried here. This is the one place that accepts it.
//
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-identity-roles.html
// https://docs.aws.amazon.com/systems-manager/latest/userguide/logging-using-cloudtrail.html
const identityRole = "aws:ec2-instance"

// identity reads who the caller is: a session of a role. No role that is made in
// IAM, and no session that AssumeRole gives, passes for an instance identity:
// their names have neither ":" nor "/".
func (c caller) identity() (Identity, error) {
	service, partition, account, resource, err := splitARN(c.Arn)
	if err != nil || account != c.Account {
		return Identity{}, errors.New("verify proof: the answer of STS names no account or two")
	}
	parts := strings.Split(resource, "/")
	if len(parts) != 3 || parts[0] != "assumed-role" || service != "sts" {
		return Identity{}, isFalse(OtherIdentity, "the signer is %s: expected an instance's role", quote.Text(resource))
	}
	id := Identity{Kind: v1alpha1.ProofNodeRole, Partition: partition, Account: account, Role: parts[1], InstanceID: parts[2]}
	// The unique id of the caller ends in the same session. Before it is the id of
	// the role.
	role, session, ok := strings.Cut(c.UserID, ":")
	if id.Role == identityRole {
		id.Kind = v1alpha1.ProofInstanceIdentity
		session, ok = strings.CutPrefix(c.UserID, account+":"+identityRole+":")
	}
	if !ok || role == "" || session != id.InstanceID {
		return Identity{}, errors.New("verify proof: the answer of STS names two sessions")
	}
	return id, nil
}

// splitARN reads arn:<partition>:<service>::<account>:<resource>, where the service
// is sts or iam.
func splitARN(arn string) (service, partition, account, resource string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || (parts[2] != "sts" && parts[2] != "iam") || parts[3] != "" || len(parts[4]) != 12 {
		return "", "", "", "", fmt.Errorf("%s is no ARN of an identity", quote.Text(arn))
	}
	return parts[2], parts[1], parts[4], parts[5], nil
}
