package instances_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/lab/awssim"
)

func TestFromProviderID(t *testing.T) {
	for text, want := range map[string]string{
		"aws:///us-west-2a/i-0123456789abcdef0":   "i-0123456789abcdef0",
		"aws:///us-west-2a/i-01234567":            "i-01234567",
		"aws:///us-west-2a/i-0123":                "",
		"aws:///us-west-2a/x/i-0123456789abcdef0": "",
		"aws:///us-west-2a/i-0123456789abcdef0 ":  "",
		"aws:///us-west-2a/I-0123456789ABCDEF0":   "",
		"gce:///us-west-2a/i-0123456789abcdef0":   "",
		"":                                        "",
	} {
		if got, ok := instances.FromProviderID(text); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %t", text, got, ok)
		}
	}
}

func TestManagedNeedsBothTags(t *testing.T) {
	const enabled, ours, others = "k8s.io/cluster-autoscaler/enabled", "k8s.io/cluster-autoscaler/demo", "k8s.io/cluster-autoscaler/prod"
	for _, test := range []struct {
		tags []string
		want bool
	}{{[]string{enabled, ours}, true}, {[]string{enabled, others}, false}, {[]string{enabled}, false}, {[]string{ours}, false}, {nil, false}} {
		g := instances.Group{Tags: map[string]string{}}
		for _, k := range test.tags {
			g.Tags[k] = "owned"
		}
		if g.Managed("demo") != test.want {
			t.Errorf("%q: managed %t", test.tags, !test.want)
		}
	}
}

func TestReader(t *testing.T) {
	w := &awssim.World{}
	defer w.Close()
	i, err := w.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.Config("controller")
	r := instances.NewReader(ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg))
	ids := []string{i.ID}
	for n := range 400 { // three calls of at most 200
		ids = append(ids, fmt.Sprintf("i-%017x", n))
	}
	found, err := r.ByID(t.Context(), ids...)
	if err != nil || len(found) != 1 || found[0].ID != i.ID || found[0].Cluster != "demo" || !found[0].Alive() || found[0].VPC == "" {
		t.Errorf("by id: %+v, %v", found, err)
	}
	if n := len(w.CallsTo("ec2", "DescribeInstances")); n != 3 {
		t.Errorf("%d calls for %d ids", n, len(ids))
	}
	again, err := r.ByPrivateIP(t.Context(), netip.MustParseAddr(found[0].PrivateIP))
	if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], found[0]) {
		t.Errorf("by address: %+v, %v", again, err)
	}
	w.Terminate(i.ID)
	if found, err = r.ByID(t.Context(), i.ID); err != nil || len(found) != 1 || !found[0].Going() || found[0].PrivateIP != "" {
		t.Errorf("after its termination: %+v, %v", found, err)
	}
	if g, err := r.Group(t.Context(), "none"); g != nil || err != nil {
		t.Errorf("group that does not exist: %+v, %v", g, err)
	}
}
