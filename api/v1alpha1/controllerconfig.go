package v1alpha1

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KindControllerConfig is the kind of a ControllerConfig document.
const KindControllerConfig = "ControllerConfig"

// ControllerConfig is what joinery-controller runs with on every master.
type ControllerConfig struct {
	TypeMeta `json:",inline"`
	// Spec is what the operator wants.
	Spec ControllerSpec `json:"spec"`
}

// ControllerSpec is what the operator wants of the controller.
type ControllerSpec struct {
	// Cluster is the name of the cluster; required. Instances and groups of
	// other clusters are never touched.
	Cluster string `json:"cluster"`
	// Region of the cluster; from IMDS when empty.
	Region string `json:"region,omitempty"`
	// VPCID of the cluster's instances; from IMDS when empty. A signing
	// request for an instance of another VPC is denied.
	VPCID string `json:"vpcID,omitempty"`
	// Endpoint of the API server that nodes are to use, host:port; that of the
	// cluster's own ConfigMap kube-public/cluster-info when empty.
	Endpoint string `json:"endpoint,omitempty"`
	// CAFile is the cluster's CA; /etc/joinery/private/controller/ca.crt by
	// default, which joinery-credentials.service keeps as that of this control-plane
	// node. Nodes are given it together with what cluster-info and
	// kube-system/kube-root-ca.crt hold, so that a CA that is being rotated
	// reaches them both ways.
	CAFile string `json:"caFile,omitempty"`
	// Kubeconfig is the controller's own; /etc/joinery/private/controller/kubeconfig
	// by default, which joinery-credentials.service makes.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Bundle says where the join bundle goes.
	Bundle BundleSettings `json:"bundle,omitzero"`
	// Token says how bootstrap tokens are rotated.
	Token TokenSettings `json:"token,omitzero"`
	// Approver says which signing requests are approved.
	Approver ApproverSettings `json:"approver,omitzero"`
	// Lifecycle says how lifecycle hooks are completed.
	Lifecycle LifecycleSettings `json:"lifecycle,omitzero"`
	// Autoscaler says how groups grow and shrink.
	Autoscaler AutoscalerSettings `json:"autoscaler,omitzero"`
	// MetricsAddress is where /metrics, /decisions, /healthz and /readyz are served;
	// 127.0.0.1:9810 by default. An address that is not of loopback needs MetricsTLS.
	MetricsAddress string `json:"metricsAddress,omitempty"`
	// MetricsTLS has MetricsAddress served by HTTPS, and only to callers whose bearer
	// token the API server knows and lets get the path.
	MetricsTLS *MetricsTLS `json:"metricsTLS,omitempty"`
}

// MetricsTLS is the certificate that metrics and probes are served with.
type MetricsTLS struct {
	// CertFile is a PEM file with the certificate and its chain; required. It is
	// read again when it changes.
	CertFile string `json:"certFile"`
	// KeyFile is a PEM file with its key; required.
	KeyFile string `json:"keyFile"`
}

// BundleSettings say where the join bundle goes.
type BundleSettings struct {
	// Parameter is the SSM parameter; ParameterName(Cluster) by default.
	Parameter string `json:"parameter,omitempty"`
	// KMSKeyID encrypts it; the account's alias/aws/ssm when empty, which every
	// principal of the account with ssm:GetParameter can use: set an own key.
	KMSKeyID string `json:"kmsKeyID,omitempty"`
	// LegacyTokenParameter, when set, is a second SSM parameter (SecureString,
	// same key) that holds nothing but a bootstrap token, for fleets whose old
	// user data still runs "kubeadm join --token". That token is of another
	// group, LegacyBootstrapGroup, and weaker: who holds it can ask for the name
	// of any instance that is booting. Empty, the default, makes no such token.
	LegacyTokenParameter string `json:"legacyTokenParameter,omitempty"`
}

// TokenSettings say how bootstrap tokens are rotated.
type TokenSettings struct {
	// Schedule is when a new token is published, as a cron expression or
	// "@every 1h"; "@hourly" by default.
	Schedule string `json:"schedule,omitempty"`
	// Jitter delays each rotation of the schedule by up to this much, by an
	// amount that follows from the cluster's name and the time, so that the
	// clusters of an account do not rotate in the same second; 5m by default,
	// or half of the schedule's shortest pause if that is less.
	Jitter metav1.Duration `json:"jitter,omitzero"`
	// TTL is a token's life; 3h by default. A token that was superseded lives
	// for Overlap only: the rest of its life is for the hour in which nothing can
	// be published.
	TTL metav1.Duration `json:"ttl,omitzero"`
	// Overlap is how long a token stays usable after a newer one was published,
	// for nodes that were booting at that moment; 30m by default, or TTL if
	// that is shorter. Its Secret is deleted then, or at the end of its TTL.
	Overlap metav1.Duration `json:"overlap,omitzero"`
}

// ApproverSettings say which signing requests are approved.
type ApproverSettings struct {
	// NodeNameMode is how the cluster's nodes are named; ip-name by default.
	NodeNameMode NodeNameMode `json:"nodeNameMode,omitempty"`
	// LaunchWindow is how long after its launch an instance may ask for its
	// first certificate; 30m by default.
	LaunchWindow metav1.Duration `json:"launchWindow,omitzero"`
	// STSProof is what is made of the proofs of identity that agents attach to
	// their requests: off, accept or require; require by default.
	STSProof ProofMode `json:"stsProof,omitempty"`
	// Proof is the kind of proof that is good: instanceIdentity, nodeRole or any;
	// any by default. Set instanceIdentity once all images have an agent that
	// makes such proofs.
	Proof ProofKind `json:"proof,omitempty"`
	// NodeRoles are the names of the IAM roles, without path, that nodes have.
	// Required when Proof is nodeRole, unless STSProof is off. With any and no
	// NodeRoles only proofs of the kind instanceIdentity are good. A proof of
	// another role is false. The trust policies of these roles must trust EC2
	// alone: every other principal that may assume such a role can choose the
	// instance that it claims to be.
	NodeRoles []string `json:"nodeRoles,omitempty"`
	// ServingDisabled leaves the signing requests for kubelets' serving
	// certificates to others.
	ServingDisabled bool `json:"servingDisabled,omitempty"`
}

// DecodeControllerConfig reads a ControllerConfig, YAML or JSON. Errors are
// *InvalidError and *VersionError.
func DecodeControllerConfig(data []byte) (*ControllerConfig, error) {
	c := &ControllerConfig{}
	if err := decode(data, KindControllerConfig, c); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *ControllerConfig) setDefaults() {
	s := &c.Spec
	orText(&s.CAFile, "/etc/joinery/private/controller/ca.crt")
	orText(&s.Kubeconfig, "/etc/joinery/private/controller/kubeconfig")
	orText(&s.MetricsAddress, "127.0.0.1:9810")
	if s.Cluster != "" {
		orText(&s.Bundle.Parameter, ParameterName(s.Cluster))
	}
	orText(&s.Token.Schedule, "@hourly")
	orText(&s.Approver.NodeNameMode, IPName)
	orText(&s.Approver.STSProof, ProofRequire)
	orText(&s.Approver.Proof, ProofAny)
	orDuration(&s.Token.TTL, 3*time.Hour)
	orDuration(&s.Token.Jitter, min(5*time.Minute, s.Token.shortestPause()/2))
	orDuration(&s.Token.Overlap, min(30*time.Minute, s.Token.TTL.Duration))
	orDuration(&s.Approver.LaunchWindow, 30*time.Minute)
	s.Lifecycle.SetDefaults()
	s.Autoscaler.setDefaults()
}

func orText[T ~string](v *T, fallback T) {
	if *v == "" {
		*v = fallback
	}
}

func orDuration(v *metav1.Duration, fallback time.Duration) {
	if v.Duration == 0 {
		v.Duration = fallback
	}
}

func (c *ControllerConfig) validate() problems {
	var p problems
	s := c.Spec
	p.cluster("spec.cluster", s.Cluster)
	if s.Endpoint != "" {
		p.endpoint("spec.endpoint", s.Endpoint)
	}
	if s.Cluster != "" || s.Bundle.Parameter != "" {
		p.parameter("spec.bundle.parameter", s.Bundle.Parameter)
	}
	if legacy := s.Bundle.LegacyTokenParameter; legacy != "" {
		p.legacyParameter("spec.bundle.legacyTokenParameter", legacy, s.Bundle.Parameter)
	}
	p.schedule(s.Token)
	p.between("spec.token.ttl", s.Token.TTL, 2*MinBundleLife, 24*time.Hour)
	p.between("spec.token.overlap", s.Token.Overlap, time.Minute, s.Token.TTL.Duration)
	p.nameMode("spec.approver.nodeNameMode", s.Approver.NodeNameMode)
	p.between("spec.approver.launchWindow", s.Approver.LaunchWindow, time.Minute, 24*time.Hour)
	p.proof("spec.approver", s.Approver)
	p.lifecycle("spec.lifecycle", s.Lifecycle)
	p.autoscaler("spec.autoscaler", s.Autoscaler)
	p.metrics(s)
	return p
}

// metrics checks where the endpoint is served: off loopback, anyone who can reach it
// could read decisions and flood probes.
func (p *problems) metrics(s ControllerSpec) {
	host, _, err := net.SplitHostPort(s.MetricsAddress)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		p.add("spec.metricsAddress", s.MetricsAddress, "expected host:port to listen on")
	case s.MetricsTLS == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		p.add("spec.metricsAddress", s.MetricsAddress, "expected an address of loopback such as 127.0.0.1:9810, or spec.metricsTLS")
	}
	if t := s.MetricsTLS; t != nil {
		if t.CertFile == "" {
			p.add("spec.metricsTLS.certFile", "", "expected the path of a PEM file")
		}
		if t.KeyFile == "" {
			p.add("spec.metricsTLS.keyFile", "", "expected the path of a PEM file")
		}
	}
}

func (p *problems) between(field string, d metav1.Duration, low, high time.Duration) {
	if d.Duration < low || d.Duration > high {
		p.add(field, d.Duration.String(), "expected %s to %s", low, high)
	}
}

// roleName is the form of an IAM role's name (IAM API Reference, CreateRole).
var roleName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

func (p *problems) proof(field string, a ApproverSettings) {
	switch a.STSProof {
	case ProofOff, ProofAccept, ProofRequire:
	default:
		p.add(field+".stsProof", string(a.STSProof), "expected %s, %s or %s", ProofOff, ProofAccept, ProofRequire)
	}
	switch {
	case !slices.Contains([]ProofKind{ProofInstanceIdentity, ProofNodeRole, ProofAny}, a.Proof):
		p.add(field+".proof", string(a.Proof), "expected %s, %s or %s", ProofInstanceIdentity, ProofNodeRole, ProofAny)
	case a.Proof == ProofNodeRole && a.STSProof != ProofOff && len(a.NodeRoles) == 0:
		p.add(field+".nodeRoles", "", "required when proof is %s and stsProof is not off: expected the names of the nodes' IAM roles", ProofNodeRole)
	}
	for i, r := range a.NodeRoles {
		if !roleName.MatchString(r) {
			p.add(fmt.Sprintf("%s.nodeRoles[%d]", field, i), r, "expected the name of an IAM role, without its path")
		}
	}
}

// legacyName also allows names without a slash: the scripts that it is for use
// such as jointoken.
var legacyName = regexp.MustCompile(`^/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$`)

func (p *problems) legacyParameter(field, v, bundle string) {
	switch {
	case !legacyName.MatchString(v) || len(v) > 1011:
		p.add(field, v, "expected the name of an SSM parameter such as jointoken")
	case v == bundle:
		p.add(field, v, "expected another parameter than spec.bundle.parameter")
	}
}

// schedule checks the expression, and that a token outlives the longest pause
// between two rotations by enough for a node that read it last to join.
func (p *problems) schedule(s TokenSettings) {
	expr, err := cron.ParseStandard(s.Schedule)
	if err != nil {
		p.add("spec.token.schedule", s.Schedule, `expected a cron expression such as "@hourly" or "0 * * * *": %v`, err)
		return
	}
	shortest, longest := pauses(expr)
	p.between("spec.token.jitter", s.Jitter, 0, shortest/2)
	if least := longest + s.Jitter.Duration + MinBundleLife; s.TTL.Duration < least {
		p.add("spec.token.ttl", s.TTL.Duration.String(), "expected at least %s: the schedule's longest pause is %s, a rotation may be %s late, and %s must be left to join",
			least, longest, s.Jitter.Duration, MinBundleLife)
	}
}

// shortestPause is that of the schedule, or 0 for one that does not parse.
func (s TokenSettings) shortestPause() time.Duration {
	expr, err := cron.ParseStandard(s.Schedule)
	if err != nil {
		return 0
	}
	shortest, _ := pauses(expr)
	return shortest
}

// pauses looks at the rotations of a week, in which every schedule that a
// token's life of at most a day can serve repeats itself.
func pauses(s cron.Schedule) (shortest, longest time.Duration) {
	const week = 7 * 24 * time.Hour
	at := s.Next(time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC))
	shortest = week
	for end := at.Add(week); at.Before(end); {
		next := s.Next(at)
		if next.IsZero() {
			return shortest, week
		}
		pause := next.Sub(at)
		shortest, longest, at = min(shortest, pause), max(longest, pause), next
	}
	return shortest, longest
}
