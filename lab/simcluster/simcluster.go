// Package simcluster is the cluster "demo" in memory, for tests of one service: a
// simulated AWS, an API server in memory, and what every service of the controller reads
// the two through. It works in a synctest bubble. Tests that need real machines use the
// other packages of the lab.
package simcluster

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/observe"
	"github.com/joinery/joinery/lab/awssim"
)

// Name is the name of the cluster.
const Name = "demo"

// Cluster is a simulated AWS and an API server, both in memory.
type Cluster struct {
	*awssim.World
	T testing.TB
	// Client of the API server.
	Client *fake.Clientset
	// Events are those that services recorded and no test has read yet.
	Events *record.FakeRecorder
	// Registry has the metrics of the services.
	Registry *prometheus.Registry
	// Log fails the test for a text that was put together wrongly, see Garbled, and for a
	// plan in which the validator finds a fault.
	Log *slog.Logger
}

// New returns a cluster without nodes. The world is closed when the test ends.
func New(t testing.TB, w *awssim.World) *Cluster {
	t.Helper()
	t.Cleanup(w.Close)
	// NewClientset keeps managed fields, which no service of ours reads: for each write
	// it looks through all types of the API, and hours of virtual time are little else.
	client := fake.NewSimpleClientset()
	client.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: "v1.37.2"}
	c := &Cluster{
		World: w, T: t, Client: client, Events: record.NewFakeRecorder(10000),
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(proofreader{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		for len(c.Events.Events) > 0 {
			proofread(t, <-c.Events.Events)
		}
	})
	return c
}

// Garbled reports whether a text has what package fmt writes in place of a missing or
// wrong argument, such as "%!w(<nil>)" for an error that is none.
func Garbled(text string) bool { return strings.Contains(text, "%!") }

// proofreader is the writer of a log.
type proofreader struct{ t testing.TB }

func (p proofreader) Write(line []byte) (int, error) {
	proofread(p.t, string(line))
	return len(line), nil
}

func proofread(t testing.TB, text string) {
	if strings.Contains(text, "a plan does not hold") {
		t.Errorf("the validator has found a fault: %s", text)
	}
	if Garbled(text) {
		t.Errorf("a text that was put together wrongly: %s", text)
	}
}

// Tags are those of a group that Joinery manages, and more.
func Tags(more ...awssim.Tag) []awssim.Tag {
	return append([]awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/" + Name}, {Key: v1alpha1.ClusterTag, Value: Name, Propagate: true},
	}, more...)
}

// UserData is the shortest user data of the cluster's instances, as EC2 keeps it.
func UserData() string {
	return base64.StdEncoding.EncodeToString([]byte("apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: " + Name + "}\n"))
}

// OK ends the test on an error.
func (c *Cluster) OK(err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

// Role gives the role "controller" the documented permissions, and those of more documents.
func (c *Cluster) Role(more ...func(iam.Values) (string, error)) {
	c.T.Helper()
	v := iam.Values{Partition: c.Partition(), Region: c.Region, Account: c.AccountID, Cluster: Name, KMSKeyARN: "arn:" + c.Partition() + ":kms:" + c.Region + ":" + c.AccountID + ":key/k"}
	for _, document := range append([]func(iam.Values) (string, error){iam.Controller}, more...) {
		text, err := document(v)
		c.OK(err)
		c.OK(c.AttachPolicy("controller", text))
	}
}

// Readers are what services read the cluster through.
type Readers struct {
	EC2         *ec2.Client
	AutoScaling *autoscaling.Client
	Fleet       *awsfleet.Reader
	Store       *observe.Store
	Binder      *binder.Binder
}

// Readers returns readers that ask AWS by cfg and judge by the rules of the cluster's IP
// names.
func (c *Cluster) Readers(cfg aws.Config) Readers {
	return c.ReadersBy(cfg, binding.Rules{Cluster: Name, Region: cfg.Region, VPC: c.VPCID, Mode: v1alpha1.IPName})
}

// ReadersBy is Readers with other rules.
func (c *Cluster) ReadersBy(cfg aws.Config, rules binding.Rules) Readers {
	return c.ReadersIn(cfg, rules, fleet.Scope{Cluster: Name})
}

// ReadersIn is ReadersBy for the groups of a scope.
func (c *Cluster) ReadersIn(cfg aws.Config, rules binding.Rules, scope fleet.Scope) Readers {
	r := Readers{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), Store: observe.NewStore(c.Client)}
	r.Fleet = awsfleet.New(awsfleet.Options{EC2: r.EC2, AutoScaling: r.AutoScaling, Scope: scope})
	r.Binder = c.Binder(r.Fleet, rules, r.Store.AllNodes)
	return r
}

// Binder returns a binder of the Nodes that are known, with the records of the API server.
func (c *Cluster) Binder(fleet *awsfleet.Reader, rules binding.Rules, known func() ([]*corev1.Node, error)) *binder.Binder {
	return binder.New(binder.Options{
		Nodes: known, Client: c.Client, Fleet: fleet, Adopted: binder.ConfigMap(c.Client), Log: c.Log, Rules: rules,
	})
}

// Said returns the Events so far, and forgets them.
func (c *Cluster) Said() string {
	var out []string
	for len(c.Events.Events) > 0 {
		out = append(out, <-c.Events.Events)
	}
	return strings.Join(out, "\n")
}
