package v1alpha1

import (
	"net/url"
	"regexp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LifecycleSettings say how lifecycle hooks of managed groups are completed.
// Only hooks of the two names are touched; a group without them is left alone.
type LifecycleSettings struct {
	// Disabled leaves all hooks to others.
	Disabled bool `json:"disabled,omitempty"`
	// LaunchHook is the name of the hook that holds an instance until its Node
	// is Ready; joinery-launch by default.
	LaunchHook string `json:"launchHook,omitempty"`
	// TerminateHook is the name of the hook that holds an instance until its
	// Node is drained; joinery-terminate by default.
	TerminateHook string `json:"terminateHook,omitempty"`
	// JoinTimeout is how long after its launch a held instance may take to
	// become a Ready Node before it is abandoned and replaced; 15m by default.
	JoinTimeout metav1.Duration `json:"joinTimeout,omitzero"`
	// WarmUp is how long an instance that is on its way into a warm pool runs
	// before it may be stopped; 1m by default.
	WarmUp metav1.Duration `json:"warmUp,omitzero"`
	// DrainTimeout is how long a terminating instance is held for its pods to
	// move; 15m by default. The hook's own limits hold too.
	DrainTimeout metav1.Duration `json:"drainTimeout,omitzero"`
	// QueueURL is that of an SQS queue, in the cluster's region and for this
	// controller alone, to which EventBridge sends the events of lifecycle
	// actions: they are looked at when they begin and not at the next poll.
	// Empty, the default, leaves it at polling.
	QueueURL string `json:"queueURL,omitempty"`
}

// SetDefaults sets what is empty, as decoding a ControllerConfig does.
func (l *LifecycleSettings) SetDefaults() {
	orText(&l.LaunchHook, "joinery-launch")
	orText(&l.TerminateHook, "joinery-terminate")
	orDuration(&l.JoinTimeout, 15*time.Minute)
	orDuration(&l.WarmUp, time.Minute)
	orDuration(&l.DrainTimeout, 15*time.Minute)
}

// hookName is what Auto Scaling takes for one (API_PutLifecycleHook).
var hookName = regexp.MustCompile(`^[A-Za-z0-9\-_/]{1,255}$`)

// queuePath is where SQS keeps a standard queue: its account and its name
// (API_CreateQueue).
var queuePath = regexp.MustCompile(`^/[0-9]{12}/[A-Za-z0-9_-]{1,80}$`)

// queue takes http as well, as the lab has it: the URL only names the queue.
// Requests go to the region's endpoint, whatever host is in it.
func (p *problems) queue(field, v string) {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		u.EscapedPath() != u.Path || !queuePath.MatchString(u.Path) || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		p.add(field, v, "expected the URL of an SQS queue such as https://sqs.us-west-2.amazonaws.com/123456789012/joinery-demo")
	}
}

func (p *problems) lifecycle(field string, l LifecycleSettings) {
	for name, v := range map[string]string{"launchHook": l.LaunchHook, "terminateHook": l.TerminateHook} {
		if !hookName.MatchString(v) {
			p.add(field+"."+name, v, "expected 1 to 255 letters, digits, '-', '_' or '/'")
		}
	}
	if l.LaunchHook == l.TerminateHook {
		p.add(field+".terminateHook", l.TerminateHook, "expected another name than launchHook: a group's hooks are told apart by their names")
	}
	p.between(field+".joinTimeout", l.JoinTimeout, time.Minute, 48*time.Hour)
	p.between(field+".warmUp", l.WarmUp, time.Second, 2*time.Hour)
	p.between(field+".drainTimeout", l.DrainTimeout, time.Second, 48*time.Hour)
	if l.QueueURL != "" {
		p.queue(field+".queueURL", l.QueueURL)
	}
}
