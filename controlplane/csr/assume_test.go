package csr_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// askSigned sends a request for the instance's name with a proof that c signs.
func (r *rig) askSigned(t *testing.T, name string, c aws.CredentialsProvider) {
	t.Helper()
	cfg := r.Config("unused")
	cfg.Credentials = c
	q := r.request(t, r.instance.PrivateDNSName)
	signed, err := proof.NewSigner(cfg).Prove(t.Context(), "demo", q.Spec.Request)
	if err != nil {
		t.Fatal(err)
	}
	q.Annotations = map[string]string{v1alpha1.STSProofAnnotation: signed}
	r.send(t, name, q, 2*time.Second)
}

// identity is the instance's identity role.
func (r *rig) identity(t *testing.T) aws.CredentialsProvider {
	t.Helper()
	got, err := imds.New(func(o *sdk.Options) {
		o.HTTPClient = &http.Client{Transport: awssim.Transport(r.IMDS(r.instance.ID))}
	}).InstanceIdentity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewStaticCredentialsProvider(got.AccessKeyID, got.SecretAccessKey.Reveal(), got.SessionToken.Reveal())
}

// assumed is the nodes' role, assumed by another principal that named its session
// after the instance.
func (r *rig) assumed(t *testing.T) aws.CredentialsProvider {
	t.Helper()
	r.TrustRole("nodes", "deployer")
	out, err := sts.NewFromConfig(r.Config("deployer")).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::123456789012:role/nodes"), RoleSessionName: &r.instance.ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	return credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// proofs is the metric of joins by the kind of their proof.
func (r *rig) proofs(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "joinery_csr_proofs_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	if len(out) != 3 {
		t.Errorf("kinds of proof in the metric: %v: expected 3", out)
	}
	return out
}

// grow lets the group launch one instance more, of an image.
func (r *rig) grow(t *testing.T, image string) {
	t.Helper()
	r.PutLaunchTemplate("of-"+image, awssim.LaunchTemplateData{ImageID: image, InstanceType: "m5.large", RoleName: "nodes"})
	g, err := r.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	g.Desired, g.LaunchTemplate = g.Desired+1, "of-"+image
	if err := r.PutGroup(g.GroupSpec); err != nil {
		t.Fatal(err)
	}
	bubble.Sleep(20 * time.Second)
	all := r.Instances()
	r.instance = all[len(all)-1]
	if r.instance.ImageID != image {
		t.Fatalf("the newest instance is of %s: expected %s", r.instance.ImageID, image)
	}
}

// TestAttackerAssumesTheNodeRole: the attacker holds a token, and may call
// sts:AssumeRole on the nodes' role. They claim an instance that is booting.
func TestAttackerAssumesTheNodeRole(t *testing.T) {
	withKind(t, v1alpha1.ProofRequire, v1alpha1.ProofInstanceIdentity, func(t *testing.T, r *rig) {
		r.askSigned(t, "forged", r.assumed(t))
		r.want(t, "forged", "Denied JoineryProofOtherKind")
		if e := <-r.Events.Events; !strings.Contains(e, "Warning DenyProofOtherKind") {
			t.Errorf("event %q", e)
		}
		// The attack cost the instance nothing.
		r.askSigned(t, "own", r.identity(t))
		r.want(t, "own", "Approved JoineryProven")
		if e := <-r.Events.Events; !strings.Contains(e, "proven by instanceIdentity (role aws:ec2-instance)") {
			t.Errorf("event %q", e)
		}
		for kind, want := range map[string]float64{"instanceIdentity": 1, "nodeRole": 0, "none": 0} {
			if got := r.proofs(t)[kind]; got != want {
				t.Errorf("joins proven by %s: %v: expected %v", kind, got, want)
			}
		}
	})
}

// TestAttackerAssumesTheNodeRoleWhereAnyProofIsGood: an image of which one instance
// proved its identity is held to that. An image with an old agent is not.
func TestAttackerAssumesTheNodeRoleWhereAnyProofIsGood(t *testing.T) {
	withKind(t, v1alpha1.ProofRequire, v1alpha1.ProofAny, func(t *testing.T, r *rig) {
		r.askSigned(t, "first", r.identity(t))
		r.want(t, "first", "Approved JoineryProven")
		r.grow(t, "ami-1")
		r.askSigned(t, "forged", r.assumed(t))
		r.want(t, "forged", "Denied JoineryProofOtherKind")
		r.askSigned(t, "own", r.identity(t))
		r.want(t, "own", "Approved JoineryProven")
		r.grow(t, "ami-2")
		r.askProven(t, "old agent", r.instance.PrivateDNSName, 2*time.Second)
		r.want(t, "old agent", "Approved JoineryProven")
		// A new agent in the same image, or an EC2 that serves identities by now.
		r.askSigned(t, "new agent", r.identity(t))
		r.want(t, "new agent", "Approved JoineryRegranted")
		r.askProven(t, "old agent again", r.instance.PrivateDNSName, 2*time.Second)
		r.want(t, "old agent again", "Denied JoineryProofOtherKind")
	})
}

// The operator's way back: only the nodes' role is good, whatever was seen before.
func TestNodeRoleAloneIsNotHeldToImages(t *testing.T) {
	withKind(t, v1alpha1.ProofRequire, v1alpha1.ProofNodeRole, func(t *testing.T, r *rig) {
		images := csr.NewImages(r.Client.CoreV1().ConfigMaps("kube-system"))
		if err := images.Record(t.Context(), "ami-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		r.askSigned(t, "identity", r.identity(t))
		r.want(t, "identity", "Denied JoineryProofOtherKind")
		r.askProven(t, "role", r.instance.PrivateDNSName, 2*time.Second)
		r.want(t, "role", "Approved JoineryProven")
	})
}

// What cannot be read decides nothing.
func TestWeakerProofWaitsForTheImages(t *testing.T) {
	withKind(t, v1alpha1.ProofRequire, v1alpha1.ProofAny, func(t *testing.T, r *rig) {
		var away atomic.Bool
		away.Store(true)
		r.Client.PrependReactor("get", "configmaps", func(a k8stesting.Action) (bool, runtime.Object, error) {
			if a.(k8stesting.GetAction).GetName() == csr.ImagesName && away.Load() {
				return true, nil, errors.New("API server is away")
			}
			return false, nil, nil
		})
		r.askProven(t, "role", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "role", "")
		away.Store(false)
		bubble.Sleep(20 * time.Second)
		r.want(t, "role", "Approved JoineryProven")
	})
}

func TestImagesAreBounded(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		images := csr.NewImages(r.Client.CoreV1().ConfigMaps("kube-system"))
		began := time.Now()
		for n := range 250 {
			if err := images.Record(t.Context(), "ami-"+strings.Repeat("0", n), began.Add(time.Duration(n)*time.Hour)); err != nil {
				t.Fatal(err)
			}
			// An image that is in use stays.
			if err := images.Record(t.Context(), "ami-x", began.Add(time.Duration(n)*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		all, err := images.All(t.Context())
		if _, kept := all["ami-x"]; err != nil || len(all) != 200 || !kept {
			t.Errorf("%d images, ami-x among them: %t, %v", len(all), kept, err)
		}
		writes := 0
		for _, a := range r.Client.Actions() {
			if a.GetVerb() == "update" && a.GetResource().Resource == "configmaps" {
				writes++
			}
		}
		if writes > 260 {
			t.Errorf("%d writes for 250 new images and one of eleven days: expected 250 to 260", writes)
		}
	})
}
