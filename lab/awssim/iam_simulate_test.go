package awssim_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/lab/awssim"
)

// What no caller here asks for is judged as a call is, and counts as use.
func TestSimulate(t *testing.T) {
	w, _ := newWorld(t)
	const volumes = `"arn:aws:ec2:us-west-2:123456789012:volume/*"`
	policy := document(`{"Sid": "Disk", "Effect": "Allow", "Action": ["ec2:RunInstances", "ec2:CreateVolume"], "Resource": ` + volumes + `, "Condition": {"Bool": {"ec2:Encrypted": "true"}}}`)
	if err := w.AttachPolicy("builder", policy); err != nil {
		t.Fatal(err)
	}
	const volume = "arn:aws:ec2:us-west-2:123456789012:volume/vol-1"
	for _, tt := range []struct {
		name, resource string
		keys           map[string]string
		want           bool
	}{
		{"encrypted", volume, map[string]string{"ec2:Encrypted": "True"}, true},
		{"not encrypted", volume, map[string]string{"ec2:Encrypted": "false"}, false},
		{"key not carried", volume, nil, false},
		{"other resource", strings.Replace(volume, "vol", "disk", 1), map[string]string{"ec2:Encrypted": "true"}, false},
	} {
		if got := w.Simulate("builder", "ec2:RunInstances", tt.resource, tt.keys); got != tt.want {
			t.Errorf("%s: allowed %t", tt.name, got)
		}
	}
	if got := w.UnusedPermissions("builder"); len(got) != 1 || got[0] != "Disk: ec2:CreateVolume" {
		t.Errorf("unused %q", got)
	}
}

// CreateTags carries the tags that it is to make.
func TestTagsOfARequest(t *testing.T) {
	w, _ := newWorld(t)
	in, err := w.AddInstance(awssim.InstanceSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AttachPolicy("tagger", document(`{"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "arn:aws:ec2:us-west-2:123456789012:instance/*", "Condition": {"StringEquals": {"aws:RequestTag/team": "a"}}}`)); err != nil {
		t.Fatal(err)
	}
	c := ec2.NewFromConfig(w.Config("tagger"))
	for team, may := range map[string]bool{"a": true, "b": false} {
		_, err := c.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{in.ID}, Tags: []ec2types.Tag{{Key: aws.String("team"), Value: &team}}})
		if (err == nil) != may {
			t.Errorf("team %s: %v", team, err)
		}
	}
}
