package attest_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/lab/awssim"
)

// identityConfig is the SDK's configuration with an instance's identity role.
func identityConfig(t testing.TB, w *awssim.World, id string) aws.Config {
	t.Helper()
	got, err := imds.New(func(o *sdk.Options) {
		o.HTTPClient, o.DisableDefaultTimeout = &http.Client{Transport: awssim.Transport(w.IMDS(id))}, true
	}).InstanceIdentity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := w.Config("unused")
	c.Credentials = credentials.NewStaticCredentialsProvider(got.AccessKeyID, got.SecretAccessKey.Reveal(), got.SessionToken.Reveal())
	return c
}

// assumed is the SDK's configuration of an attacker who has assumed the nodes'
// role under a session name that they chose.
func assumed(t testing.TB, w *awssim.World, session string) aws.Config {
	t.Helper()
	w.TrustRole("joinery-node", "deployer")
	c := w.Config("deployer")
	out, err := sts.NewFromConfig(c).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::123456789012:role/joinery-node"), RoleSessionName: &session,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	return c
}

func TestKindsOfProof(t *testing.T) {
	w, i := world(t, "us-west-2")
	byRole, byIdentity := prove(t, instanceConfig(w, i.ID), "demo", request), prove(t, identityConfig(t, w, i.ID), "demo", request)
	for _, test := range []struct {
		proof    v1alpha1.ProofKind
		roles    []string
		identity attest.Why // empty: good
		role     attest.Why
	}{
		{v1alpha1.ProofAny, []string{"joinery-node"}, "", ""},
		{v1alpha1.ProofAny, nil, "", attest.OtherKind},
		{v1alpha1.ProofAny, []string{"other"}, "", attest.OtherIdentity},
		{v1alpha1.ProofInstanceIdentity, nil, "", attest.OtherKind},
		{v1alpha1.ProofInstanceIdentity, []string{"joinery-node"}, "", attest.OtherKind},
		{v1alpha1.ProofNodeRole, []string{"joinery-node"}, attest.OtherKind, ""},
		{v1alpha1.ProofNodeRole, []string{"aws:ec2-instance"}, attest.OtherKind, attest.OtherIdentity},
	} {
		v := verifier(w, func(o *attest.Options) { o.Proof, o.Roles = test.proof, test.roles })
		for p, want := range map[string]attest.Why{byIdentity: test.identity, byRole: test.role} {
			now := time.Now()
			_, err := v.Verify(t.Context(), p, []byte(request), now, now)
			var f *attest.FalseError
			if want == "" && err != nil || want != "" && (!errors.As(err, &f) || f.Why != want) {
				t.Errorf("%s, roles %q: got %v: expected %q", test.proof, test.roles, err, want)
			}
		}
	}
}

// TestAttackerAssumesTheNodeRole: the signer is no instance, has the nodes' role
// and has named its session after an instance that is booting. STS says of it what
// it says of the instance by that role, and never what it says of the instance by
// its instance identity.
func TestAttackerAssumesTheNodeRole(t *testing.T) {
	w, i := world(t, "us-west-2")
	forged := prove(t, assumed(t, w, i.ID), "demo", request)
	now := time.Now()
	v := verifier(w, func(o *attest.Options) { o.Proof = v1alpha1.ProofInstanceIdentity })
	id, err := v.Verify(t.Context(), forged, []byte(request), now, now)
	var f *attest.FalseError
	if !errors.As(err, &f) || f.Why != attest.OtherKind {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, err := v.Verify(t.Context(), prove(t, identityConfig(t, w, i.ID), "demo", request), []byte(request), now, now); err != nil {
		t.Errorf("the instance itself: %v", err)
	}
	// What the settings concede: the forgery is good where the role is.
	id, err = verifier(w, nil).Verify(t.Context(), forged, []byte(request), now, now)
	if err != nil || id.Kind != v1alpha1.ProofNodeRole || id.InstanceID != i.ID {
		t.Errorf("with the role accepted: got %+v, %v: the attack is not what it claims to be", id, err)
	}
	for _, session := range []string{"aws:ec2-instance", "aws:ec2-instance/" + i.ID} {
		_, err := sts.NewFromConfig(w.Config("deployer")).AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::123456789012:role/joinery-node"), RoleSessionName: &session,
		})
		if err == nil {
			t.Errorf("a session is named %q", session)
		}
	}
}
