// Package attest verifies proofs of identity: it sends the STS request that an
// instance has signed, to the STS endpoint of its own region and to no other,
// and believes what STS says about the signer.
//
// What is sent is put together here. Of the proof come the signature and the
// credentials that it was made with; the host, the cluster and the sum of the
// certificate request are the verifier's own, so that a proof that was made for
// anything else does not verify.
package attest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/time/rate"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/quote"
)

// Identity is who signed a proof, as STS says.
type Identity struct {
	// Kind is by which of its roles the instance signed.
	Kind v1alpha1.ProofKind
	// Partition and Account of the signer, such as aws and 123456789012.
	Partition, Account string
	// Role is the name of the role, without path; aws:ec2-instance for the kind
	// instanceIdentity.
	Role string
	// InstanceID is the name of the role's session, which EC2 sets to the id of
	// the instance that it gives the credentials to. With the kind nodeRole other
	// principals may have chosen it, if the role's trust policy lets them.
	InstanceID string
}

// Why says in which way a proof is false.
type Why string

// The ways.
const (
	// Malformed: it is no presigned GetCallerIdentity request of our form.
	Malformed Why = "Malformed"
	// OtherEndpoint: it was signed for another host or region.
	OtherEndpoint Why = "OtherEndpoint"
	// Skewed: it was signed too long before or after its request was created, by
	// the signer's clock.
	Skewed Why = "Skewed"
	// Expired: it was made for this request, and is too old by now.
	Expired Why = "Expired"
	// Rejected: STS does not accept the signature: it was made for another
	// cluster or request, or with credentials that are no longer good.
	Rejected Why = "Rejected"
	// OtherIdentity: the signer is no instance of this account with a node's role.
	OtherIdentity Why = "OtherIdentity"
	// OtherKind: it is a proof of a kind that the settings do not accept.
	OtherKind Why = "OtherKind"
)

// FalseError says that a proof proves nothing and never will. Any other error of
// Verify says that it is not known yet.
type FalseError struct {
	Why    Why
	Detail string
	// Ahead is how far the signer's clock seems to be ahead of the API server's,
	// of a proof that is Skewed.
	Ahead time.Duration
}

// Error says why. It never repeats the proof.
func (e *FalseError) Error() string { return "false proof of identity: " + e.Detail }

func isFalse(w Why, format string, args ...any) error {
	return &FalseError{Why: w, Detail: fmt.Sprintf(format, args...)}
}

// Options say what a verifier accepts.
type Options struct {
	// Cluster that is joined.
	Cluster string
	// Proof is the kind of proof that is good; any when empty.
	Proof v1alpha1.ProofKind
	// Roles are the names of the nodes' roles. Without any, no proof of the kind
	// nodeRole is good.
	Roles []string
	// Transport carries the requests to STS; http.DefaultTransport when nil.
	Transport http.RoundTripper
}

// Verifier verifies proofs. It is safe for concurrent use.
type Verifier struct {
	options Options
	sts     *sts.Client
	region  string
	client  *http.Client
	limit   *rate.Limiter

	mu   sync.Mutex
	self *self // nil until it is known. Guarded by mu.
}

// self is what the verifier knows about itself.
type self struct {
	endpoint           *url.URL
	partition, account string
}

// Bounds on what holders of a token can make the verifier do: each proof that is
// well formed costs a call to STS, which allows 600 a second to an account in a
// region (IAM User Guide, "IAM and STS quotas"). The approver bounds the calls for
// each instance before that, so that one cannot take them from another.
const (
	callsPerSecond = 100
	callsAtOnce    = 200
	answerTimeout  = 5 * time.Second
)

// NewVerifier returns a verifier that asks the STS of c's region.
func NewVerifier(c aws.Config, o Options) *Verifier {
	return &Verifier{
		options: o, sts: sts.NewFromConfig(c), region: c.Region, limit: rate.NewLimiter(callsPerSecond, callsAtOnce),
		client: &http.Client{
			Transport: o.Transport, Timeout: answerTimeout,
			// An answer from elsewhere is no answer of STS.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Verify returns who signed proof for the certificate request that was created
// at created, as seen at now. Errors are *FalseError and those of an STS that
// does not answer, which prove nothing.
func (v *Verifier) Verify(ctx context.Context, proof string, request []byte, created, now time.Time) (Identity, error) {
	signed, err := parse(proof)
	if err != nil {
		return Identity{}, err
	}
	if err := signed.checkTime(created, now); err != nil {
		return Identity{}, err
	}
	self, err := v.known(ctx)
	if err != nil {
		return Identity{}, err
	}
	if err := signed.checkEndpoint(self.endpoint, v.region); err != nil {
		return Identity{}, err
	}
	if !v.limit.AllowN(now, 1) {
		return Identity{}, fmt.Errorf("verify proof: more than %d proofs a second", callsPerSecond)
	}
	caller, err := v.ask(ctx, signed, self.endpoint, v1alpha1.ProofHeaders(v.options.Cluster, request))
	if err != nil {
		return Identity{}, err
	}
	id, err := caller.identity()
	if err != nil {
		return Identity{}, err
	}
	return id, v.check(id, self)
}

func (v *Verifier) check(id Identity, self *self) error {
	accepted := v1alpha1.ApproverSettings{Proof: v.options.Proof, NodeRoles: v.options.Roles}
	switch {
	case id.Partition != self.partition || id.Account != self.account:
		return isFalse(OtherIdentity, "the signer is of account %s in %s: expected %s in %s", id.Account, id.Partition, self.account, self.partition)
	case !accepted.Accepts(id.Kind) && id.Kind == v1alpha1.ProofInstanceIdentity:
		return isFalse(OtherKind, "instance %s signed with its instance identity, and spec.approver.proof is %s", id.InstanceID, v.options.Proof)
	case !accepted.Accepts(id.Kind):
		return isFalse(OtherKind, "the signer has role %s: expected an instance identity, because spec.approver.proof is %s or spec.approver.nodeRoles is empty", quote.Text(id.Role), v1alpha1.ProofInstanceIdentity)
	case id.Kind == v1alpha1.ProofNodeRole && !slices.Contains(v.options.Roles, id.Role):
		return isFalse(OtherIdentity, "the signer has role %s: expected one of spec.approver.nodeRoles %q", quote.Text(id.Role), v.options.Roles)
	case !fleet.ValidID(id.InstanceID):
		return isFalse(OtherIdentity, "the signer's session of role %s is named %s: expected an instance id", quote.Name(id.Role), quote.Text(id.InstanceID))
	}
	return nil
}

// known returns what the verifier knows about itself, asking once: which account
// its own credentials are of, and which endpoint the SDK has for its region.
func (v *Verifier) known(ctx context.Context) (*self, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.self != nil {
		return v.self, nil
	}
	own, err := sts.NewPresignClient(v.sts).PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("verify proof: find the endpoint of STS: %w", err)
	}
	at, err := url.Parse(own.URL)
	if err != nil {
		return nil, fmt.Errorf("verify proof: find the endpoint of STS: %w", err)
	}
	out, err := v.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("verify proof: ask for the own account: %w", err)
	}
	_, partition, account, _, err := splitARN(aws.ToString(out.Arn))
	if err != nil {
		return nil, fmt.Errorf("verify proof: own identity: %w", err)
	}
	v.self = &self{endpoint: &url.URL{Scheme: at.Scheme, Host: at.Host, Path: "/"}, partition: partition, account: account}
	return v.self, nil
}
