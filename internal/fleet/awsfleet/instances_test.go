package awsfleet_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/lab/awssim"
)

func TestReader(t *testing.T) {
	w := &awssim.World{}
	defer w.Close()
	i, err := w.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.Config("controller")
	r := awsfleet.New(awsfleet.Options{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), Scope: fleet.Scope{Cluster: "demo"}})
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
	w.Settle()
	if found, err = r.ByID(t.Context(), i.ID); err != nil || len(found) != 1 || !found[0].Going() || found[0].PrivateIP != "" {
		t.Errorf("after its termination: %+v, %v", found, err)
	}
	if g, err := r.Group(t.Context(), "none", 0); g != nil || err != nil {
		t.Errorf("group that does not exist: %+v, %v", g, err)
	}
}
