package launch_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/lab/awssim"
)

func TestDeclaredLabels(t *testing.T) {
	w := &awssim.World{}
	defer w.Close()
	put := func(name, userData string) {
		w.PutLaunchTemplate(name, awssim.LaunchTemplateData{InstanceType: "t3.medium", UserData: base64.StdEncoding.EncodeToString([]byte(userData))})
	}
	const head = "apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: "
	put("good", head+`demo, labels: {team: a, node-role.kubernetes.io/batch: ""}}`)
	put("theirs", head+`prod, labels: {team: a}}`)
	put("script", "#!/bin/sh\n")
	put("none", "")
	put("broken", head+`demo, labels: {kubernetes.io/role: x}}`)
	const tag = "k8s.io/cluster-autoscaler/node-template/label/"
	both := map[string]string{tag + "team": "b", tag + "node-role.kubernetes.io/x": "", "other": "y"}
	tagged := map[string]string{"team": "b", "node-role.kubernetes.io/x": ""}
	for _, test := range []struct {
		name, from string
		tags       map[string]string
		want       map[string]string
		unreadable bool
	}{
		{"NodeConfig alone", "good", nil, map[string]string{"team": "a", "node-role.kubernetes.io/batch": ""}, false},
		{"tags win", "good", both, map[string]string{"team": "b", "node-role.kubernetes.io/batch": "", "node-role.kubernetes.io/x": ""}, false},
		{"no launch template", "", both, tagged, false},
		{"no user data", "none", both, tagged, false},
		{"script", "script", both, tagged, false},
		{"another cluster's NodeConfig", "theirs", both, tagged, true},
		{"NodeConfig that is refused", "broken", both, tagged, true},
		{"launch template that is gone", "gone", both, tagged, true},
		{"a tag that is no label", "good", map[string]string{tag + "a b": "x"}, map[string]string{"team": "a", "node-role.kubernetes.io/batch": ""}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var from *fleet.TemplateRef
			if test.from != "" {
				from = &fleet.TemplateRef{Name: test.from, Version: "1"}
			}
			got, err := launch.NewDeclarations(launch.NewTemplates(ec2.NewFromConfig(w.Config("controller"))), "demo").Labels(t.Context(), from, test.tags)
			var unreadable *launch.UnreadableError
			if errors.As(err, &unreadable) != test.unreadable || (err != nil) != test.unreadable || !maps.Equal(got, test.want) {
				t.Errorf("%v, %v: expected %v", got, err, test.want)
			}
		})
	}
	defer w.Inject(awssim.Fault{Service: "ec2", Code: "UnauthorizedOperation"})()
	from := &fleet.TemplateRef{Name: "good", Version: "1"}
	if got, err := launch.NewDeclarations(launch.NewTemplates(ec2.NewFromConfig(w.Config("controller"))), "demo").Labels(t.Context(), from, both); err == nil || got != nil {
		t.Errorf("while EC2 does not answer: %v, %v", got, err)
	}
}
