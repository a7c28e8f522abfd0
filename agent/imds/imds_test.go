package imds_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/lab/awssim"
)

// unhurried is an HTTP client that the SDK does not know as its own, so that its
// time-outs of half a second and five seconds do not apply: a busy machine takes
// longer to answer itself.
type unhurried struct{ sdk.HTTPClient }

// client returns a client of the instance's metadata service, over HTTP.
func client(t *testing.T, h http.Handler) *imds.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	// A proxy must not be used, whatever the machine's environment says.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	return imds.New(func(o *sdk.Options) {
		o.Endpoint, o.Retryer = server.URL, aws.NopRetryer{}
		o.HTTPClient, o.DisableDefaultTimeout = unhurried{o.HTTPClient}, true
	})
}

func world(t *testing.T, spec awssim.InstanceSpec) (*awssim.World, awssim.Instance, *imds.Client) {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	i, err := w.AddInstance(spec)
	if err != nil {
		t.Fatal(err)
	}
	return w, i, client(t, w.IMDS(i.ID))
}

func TestInstanceIsReadAsEC2KnowsIt(t *testing.T) {
	_, i, c := world(t, awssim.InstanceSpec{
		UserData: []byte("hello"), Tags: map[string]string{"joinery:cluster": "demo"}, InstanceMetadataTags: "enabled",
	})
	facts, err := c.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Facts{
		InstanceID: i.ID, Region: "us-west-2", Zone: i.Zone, PrivateIP: i.PrivateIP,
		ImageID: i.ImageID, AccountID: "123456789012", InstanceType: i.Type,
	}
	if facts != want {
		t.Errorf("got %+v, want %+v", facts, want)
	}
	if name, err := identity.NodeName(facts, "ip-name"); err != nil || name != i.PrivateDNSName {
		t.Errorf("the node is named %q, %v: EC2 names the instance %q", name, err, i.PrivateDNSName)
	}
	if vpc, err := c.VPCID(t.Context()); err != nil || vpc != i.VPCID {
		t.Errorf("got VPC %q, %v: want %q", vpc, err, i.VPCID)
	}
	if data, err := c.UserData(t.Context()); err != nil || string(data) != "hello" {
		t.Errorf("got user data %q, %v", data, err)
	}
	if tag, err := c.Tag(t.Context(), "joinery:cluster"); err != nil || tag != "demo" {
		t.Errorf("got tag %q, %v", tag, err)
	}
}

func TestAbsenceIsAnAnswer(t *testing.T) {
	_, _, c := world(t, awssim.InstanceSpec{Tags: map[string]string{"joinery:cluster": "demo"}})
	if _, err := c.UserData(t.Context()); !errors.Is(err, imds.ErrAbsent) {
		t.Errorf("user data: got %v", err)
	}
	if _, err := c.Tag(t.Context(), "joinery:cluster"); !errors.Is(err, imds.ErrAbsent) {
		t.Errorf("tags that are not exposed: got %v", err)
	}
	if _, err := c.LifecycleState(t.Context()); !errors.Is(err, imds.ErrAbsent) {
		t.Errorf("lifecycle state outside of a group: got %v", err)
	}
}

func TestLifecycleStateInsideAGroup(t *testing.T) {
	w := &awssim.World{}
	t.Cleanup(w.Close)
	w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
	if err := w.PutGroup(awssim.GroupSpec{Name: "nodes", Max: 1, Desired: 1, LaunchTemplate: "nodes"}); err != nil {
		t.Fatal(err)
	}
	state, err := client(t, w.IMDS(w.Instances()[0].ID)).LifecycleState(t.Context())
	if err != nil || state != imds.InService {
		t.Errorf("got %q, %v", state, err)
	}
}

func TestNoAnswerIsNotAbsence(t *testing.T) {
	w, i, c := world(t, awssim.InstanceSpec{})
	for name, f := range map[string]awssim.Fault{
		"forbidden":   {Service: "imds", Status: 403, Code: "x"},
		"unavailable": {Service: "imds", Status: 503, Code: "x"},
		"no token":    {Service: "imds", Action: "/latest/api/token", Status: 404, Code: "x"},
	} {
		remove := w.Inject(f)
		_, err := c.Facts(t.Context())
		var unavailable *imds.UnavailableError
		if !errors.As(err, &unavailable) || errors.Is(err, imds.ErrAbsent) {
			t.Errorf("%s: got %v, want an UnavailableError", name, err)
		}
		remove()
		c = client(t, w.IMDS(i.ID)) // without the token of this round
	}
	if _, err := c.Facts(t.Context()); err != nil {
		t.Errorf("after the faults: %v", err)
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	_, err := imds.New(func(o *sdk.Options) { o.Endpoint = dead.URL }).Facts(t.Context())
	if err == nil || !strings.Contains(err.Error(), "HttpEndpoint") {
		t.Errorf("got %v, want a hint at the instance's HttpEndpoint", err)
	}
}

func TestVersion1IsNeverUsed(t *testing.T) {
	var asked atomic.Bool
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		asked.Store(true)
		if _, err := w.Write([]byte(document)); err != nil {
			t.Error(err)
		}
	}))
	if facts, err := c.Facts(t.Context()); err == nil || asked.Load() {
		t.Errorf("got %+v, %v from a service that gives no tokens", facts, err)
	}
}

func TestEndlessAnswerIsRefused(t *testing.T) {
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := "token"
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		if r.Method == http.MethodGet {
			text = strings.Repeat("x", 1<<20)
		}
		// The client hangs up early, which is what is tested.
		_, _ = w.Write([]byte(text))
	}))
	var wrong *imds.InvalidError
	if _, err := c.UserData(t.Context()); !errors.As(err, &wrong) {
		t.Errorf("got %v, want an InvalidError", err)
	}
}

// A busy instance may take seconds for an answer: the SDK's own client gives up
// after half of one.
func TestSlowAnswerIsAnAnswer(t *testing.T) {
	w := &awssim.World{}
	t.Cleanup(w.Close)
	i, err := w.AddInstance(awssim.InstanceSpec{})
	if err != nil {
		t.Fatal(err)
	}
	slow := w.IMDS(i.ID)
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(1200 * time.Millisecond)
		slow.ServeHTTP(w, r)
	}))
	if facts, err := c.Facts(t.Context()); err != nil || facts.InstanceID != i.ID {
		t.Errorf("got %+v, %v", facts, err)
	}
}
