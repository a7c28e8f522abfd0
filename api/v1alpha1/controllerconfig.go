package v1alpha1

import (
	"net"
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
	// Endpoint of the API server that nodes are to use, host:port; required.
	Endpoint string `json:"endpoint"`
	// CAFile is the cluster's CA; /etc/kubernetes/pki/ca.crt by default.
	CAFile string `json:"caFile,omitempty"`
	// Kubeconfig is the controller's own; /etc/joinery/controller.kubeconfig
	// by default.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Bundle says where the join bundle goes.
	Bundle BundleSettings `json:"bundle,omitzero"`
	// Token says how bootstrap tokens are rotated.
	Token TokenSettings `json:"token,omitzero"`
	// Approver says which signing requests are approved.
	Approver ApproverSettings `json:"approver,omitzero"`
	// Autoscaler says how groups grow and shrink.
	Autoscaler AutoscalerSettings `json:"autoscaler,omitzero"`
	// MetricsAddress is where /metrics, /healthz and /readyz are served;
	// 127.0.0.1:9810 by default.
	MetricsAddress string `json:"metricsAddress,omitempty"`
}

// BundleSettings say where the join bundle goes.
type BundleSettings struct {
	// Parameter is the SSM parameter; ParameterName(Cluster) by default.
	Parameter string `json:"parameter,omitempty"`
	// KMSKeyID encrypts it; the account's alias/aws/ssm when empty, which every
	// principal of the account with ssm:GetParameter can use: set an own key.
	KMSKeyID string `json:"kmsKeyID,omitempty"`
}

// TokenSettings say how bootstrap tokens are rotated.
type TokenSettings struct {
	// Schedule is when a new token is published, as a cron expression or
	// "@every 1h"; "@hourly" by default.
	Schedule string `json:"schedule,omitempty"`
	// TTL is a token's life; 90m by default.
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
	orText(&s.CAFile, "/etc/kubernetes/pki/ca.crt")
	orText(&s.Kubeconfig, "/etc/joinery/controller.kubeconfig")
	orText(&s.MetricsAddress, "127.0.0.1:9810")
	if s.Cluster != "" {
		orText(&s.Bundle.Parameter, ParameterName(s.Cluster))
	}
	orText(&s.Token.Schedule, "@hourly")
	orText(&s.Approver.NodeNameMode, IPName)
	orDuration(&s.Token.TTL, 90*time.Minute)
	orDuration(&s.Token.Overlap, min(30*time.Minute, s.Token.TTL.Duration))
	orDuration(&s.Approver.LaunchWindow, 30*time.Minute)
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
	p.endpoint("spec.endpoint", s.Endpoint)
	if s.Cluster != "" || s.Bundle.Parameter != "" {
		p.parameter("spec.bundle.parameter", s.Bundle.Parameter)
	}
	p.schedule(s.Token)
	p.between("spec.token.ttl", s.Token.TTL, 2*MinBundleLife, 24*time.Hour)
	p.between("spec.token.overlap", s.Token.Overlap, time.Minute, s.Token.TTL.Duration)
	p.nameMode("spec.approver.nodeNameMode", s.Approver.NodeNameMode)
	p.between("spec.approver.launchWindow", s.Approver.LaunchWindow, time.Minute, 24*time.Hour)
	p.autoscaler("spec.autoscaler", s.Autoscaler)
	if _, _, err := net.SplitHostPort(s.MetricsAddress); err != nil {
		p.add("spec.metricsAddress", s.MetricsAddress, "expected host:port to listen on")
	}
	return p
}

func (p *problems) between(field string, d metav1.Duration, low, high time.Duration) {
	if d.Duration < low || d.Duration > high {
		p.add(field, d.Duration.String(), "expected %s to %s", low, high)
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
	if pause := longestPause(expr); s.TTL.Duration < pause+MinBundleLife {
		p.add("spec.token.ttl", s.TTL.Duration.String(), "expected at least %s: the schedule's longest pause is %s, and %s must be left to join",
			pause+MinBundleLife, pause, MinBundleLife)
	}
}

// longestPause looks at the rotations of a week, in which every schedule that
// a token's life of at most a day can serve repeats itself.
func longestPause(s cron.Schedule) time.Duration {
	at := s.Next(time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC))
	end := at.AddDate(0, 0, 7)
	var longest time.Duration
	for at.Before(end) {
		next := s.Next(at)
		if next.IsZero() {
			return 7 * 24 * time.Hour
		}
		longest, at = max(longest, next.Sub(at)), next
	}
	return longest
}
