package terraform_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/redact"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/userdata"
)

// one is the smallest use of the module.
func one(more map[string]any) map[string]any {
	out := map[string]any{
		"cluster": "demo", "vpc_id": "vpc-0123456789abcdef0", "subnet_ids": []string{"subnet-0aaaaaaaaaaaaaaaa"},
		"control_plane_security_group_id": "sg-0123456789abcdef0", "image_id": "ami-0123456789abcdef0",
		"groups": map[string]any{"workers": group(nil)},
	}
	for name, v := range more {
		out[name] = v
	}
	return out
}

func group(more map[string]any) map[string]any {
	out := map[string]any{"instance_types": []string{"m5.large"}, "min_size": 1, "max_size": 3}
	for name, v := range more {
		out[name] = v
	}
	return out
}

// What a launch template carries is what Joinery's own renderer would write, whatever
// the variables hold.
func TestUserDataIsOurs(t *testing.T) {
	every := map[string]any{
		"labels": map[string]string{"example.com/b": "x", "example.com/a": ""}, "node_name": "instance-id", "max_pods": 58,
		"taints":        []map[string]any{{"key": "n", "effect": "NoSchedule"}, {"key": "k", "value": "v", "effect": "NoExecute"}},
		"kube_reserved": map[string]string{"memory": "1Gi", "cpu": "100m"}, "eviction_hard": map[string]string{"memory.available": "5%"},
	}
	// It would end the field, were it not quoted.
	hostile := map[string]any{"kube_reserved": map[string]string{"cpu": "1\"}}\n  cluster: other"}}
	tests := map[string]struct {
		cluster string
		group   map[string]any
		valid   bool
	}{
		"plain": {"demo", nil, true}, "word": {"null", nil, true}, "number": {"007", nil, true}, "short": {"a", nil, true},
		"every": {"demo", every, true}, "hostile": {"demo", hostile, false},
	}
	cases := map[string]map[string]any{}
	for name, tt := range tests {
		cases[name] = one(map[string]any{"cluster": tt.cluster, "groups": map[string]any{"workers": group(tt.group)}})
	}
	s := newEngine(t).apply(t, callers(t, cases), nil)
	for name, tt := range tests {
		raw, _ := s.Values.Outputs[name].Value.(map[string]any)["workers"].(string)
		c, err := userdata.Parse([]byte(raw))
		switch {
		case tt.valid && err != nil:
			t.Errorf("%s: %v\n%s", name, err, raw)
		case !tt.valid: // it stays in its field: that field's value is what is wrong
			if err == nil || !strings.Contains(err.Error(), "spec.kubelet") || strings.Contains(err.Error(), "spec.cluster") {
				t.Errorf("%s: %v\n%s", name, err, raw)
			}
		default:
			if want, err := userdata.Render(c); err != nil || raw != string(want) || c.Spec.Cluster != tt.cluster {
				t.Errorf("%s: %v\n%s\nwant\n%s", name, err, raw, want)
			}
		}
	}
}

func userData(t *testing.T, s state) []string {
	t.Helper()
	var out []string
	for _, r := range s.resources("aws_launch_template") {
		raw, err := base64.StdEncoding.DecodeString(r.text("user_data"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(raw))
	}
	if len(out) == 0 {
		t.Fatal("no launch template")
	}
	return out
}

var secretWords = regexp.MustCompile(`(?i)token|secret|password|private|AKIA|BEGIN|[a-z0-9]{6}\.[a-z0-9]{16}`)

func TestUserDataHoldsNoSecret(t *testing.T) {
	for _, example := range []string{"one-cluster", "from-the-recipe"} {
		s := newEngine(t).apply(t, filepath.Join("examples", example), nil)
		for _, text := range userData(t, s) {
			if found := secretWords.FindString(text); found != "" || redact.Text(text) != text {
				t.Errorf("%s: %q in\n%s", example, found, text)
			}
			if _, err := v1alpha1.DecodeNodeConfig([]byte(text)); err != nil {
				t.Errorf("%s: %v in\n%s", example, err, text)
			}
		}
	}
}

// Each role has the policies that joinery iam prints, in every partition.
func TestRolesHaveThePoliciesOfJoineryIAM(t *testing.T) {
	for region, principal := range map[string]string{"us-west-2": "ec2.amazonaws.com", "cn-north-1": "ec2.amazonaws.com.cn", "us-gov-west-1": "ec2.amazonaws.com"} {
		t.Run(region, func(t *testing.T) {
			s := newEngine(t).apply(t, "examples/from-the-recipe", map[string]any{"region": region})
			v := iam.Values{Region: region, Account: "123456789012", Cluster: "K8S", Queue: "joinery-K8S", Parameter: "jointoken",
				KMSKeyARN: s.resources("aws_kms_key")[0].text("arn")}
			got := map[string]string{}
			for _, r := range s.resources("aws_iam_role_policy") {
				got[r.text("name")+" on "+r.text("role")] = r.text("policy")
			}
			got["trust"] = s.resources("aws_iam_role")[0].text("assume_role_policy")
			got["queue"] = s.resources("aws_sqs_queue_policy")[0].text("policy")
			got["key"] = s.resources("aws_kms_key")[0].text("policy")
			want := map[string]string{"joinery-node on joinery-K8S-node": "node", "joinery-controller on K8S-Masters": "controller", "joinery-controller-queue on K8S-Masters": "controller-queue",
				"joinery-controller-legacy on K8S-Masters": "controller-legacy", "trust": "trust", "queue": "queue-policy", "key": "key-policy"}
			if len(got) != len(want) {
				t.Errorf("%d policies, want %d", len(got), len(want))
			}
			for where, document := range want {
				if text, err := iam.Render(document, v); err != nil || got[where] != text {
					t.Errorf("%s: %v\n%s\nwant\n%s", where, err, got[where], text)
				}
			}
			if !strings.Contains(got["trust"], `"`+principal+`"`) {
				t.Errorf("trust: %s", got["trust"])
			}
		})
	}
}

// Without a role of their own, control-plane nodes get one that EC2 alone may take.
func TestControlPlaneRoleIsMade(t *testing.T) {
	s := newEngine(t).apply(t, ".", one(map[string]any{"event_queue": false, "permissions_boundary": "arn:aws:iam::123456789012:policy/boundary"}))
	roles := s.resources("aws_iam_role")
	if len(roles) != 2 || len(s.resources("aws_iam_instance_profile")) != 2 {
		t.Fatalf("%d roles", len(roles))
	}
	for _, r := range roles {
		if r.text("assume_role_policy") != roles[0].text("assume_role_policy") || r.text("permissions_boundary") == "" {
			t.Errorf("%s: %v", r.Address, r.Values)
		}
	}
	for _, typ := range []string{"aws_sqs_queue", "aws_sqs_queue_policy", "aws_cloudwatch_event_rule", "aws_cloudwatch_event_target"} {
		if n := len(s.resources(typ)); n != 0 {
			t.Errorf("%d of %s without a queue", n, typ)
		}
	}
	if _, err := v1alpha1.DecodeControllerConfig([]byte(s.Values.Outputs["controller_config"].Value.(string))); err != nil {
		t.Error(err)
	}
}

// In the simulated AWS the controller finds the groups by what the module made, and
// what they launch carries the cluster's tag and its NodeConfig.
func TestGroupsAreManaged(t *testing.T) {
	s := newEngine(t).apply(t, "examples/one-cluster", nil)
	w := &awssim.World{}
	t.Cleanup(w.Close)
	templates := map[string]resource{}
	for _, r := range s.resources("aws_launch_template") {
		templates[r.text("name")] = r
	}
	var want []string
	for _, r := range s.resources("aws_autoscaling_group") {
		want = append(want, r.text("name"))
		w.PutLaunchTemplate(r.text("name"), templates[r.text("name")].launches(t))
		spec := awssim.GroupSpec{Name: r.text("name"), LaunchTemplate: r.text("name"), Max: 1, Desired: 1}
		for _, tag := range r.Values["tag"].([]any) {
			tag := tag.(map[string]any)
			key := tag["key"].(string)
			propagate := tag["propagate_at_launch"].(bool)
			if propagate && strings.Contains(key, "/") {
				t.Errorf("%s: instances get the tag %s", r.Address, key)
			}
			spec.Tags = append(spec.Tags, awssim.Tag{Key: key, Value: tag["value"].(string), Propagate: propagate})
		}
		if err := w.PutGroup(spec); err != nil {
			t.Fatal(err)
		}
	}
	c := w.Config("controller")
	found, err := awsfleet.New(awsfleet.Options{EC2: ec2.NewFromConfig(c), AutoScaling: autoscaling.NewFromConfig(c), Scope: fleet.Scope{Cluster: "prod"}}).Managed(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range found {
		got = append(got, g.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) != 3 || !slices.Equal(got, want) {
		t.Errorf("managed %q, made %q", got, want)
	}
	if n := len(w.Instances()); n != 3 {
		t.Errorf("%d instances", n)
	}
	for _, in := range w.Instances() {
		c, err := userdata.Parse(in.UserData)
		if err != nil || c.Spec.Cluster != "prod" || in.Tags["joinery:cluster"] != "prod" || in.HTTPTokens != "required" || in.HopLimit != 1 {
			t.Errorf("%s: %v, tags %v, %s tokens, %d hops", in.ID, err, in.Tags, in.HTTPTokens, in.HopLimit)
		}
	}
}

// launches is a launch template as the simulated AWS has them. Images and types are the
// simulated one's own.
func (r resource) launches(t *testing.T) awssim.LaunchTemplateData {
	t.Helper()
	d := awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "m5.large", UserData: r.text("user_data"), InstanceTags: map[string]string{}}
	m := resource{Values: r.Values["metadata_options"].([]any)[0].(map[string]any)}
	d.HTTPTokens, d.HTTPEndpoint, d.InstanceMetadataTags = m.text("http_tokens"), m.text("http_endpoint"), m.text("instance_metadata_tags")
	d.HopLimit = int(m.Values["http_put_response_hop_limit"].(float64))
	for _, spec := range r.Values["tag_specifications"].([]any) {
		spec := resource{Values: spec.(map[string]any)}
		for key, value := range spec.Values["tags"].(map[string]any) {
			if spec.text("resource_type") == "instance" {
				d.InstanceTags[key] = value.(string)
			}
		}
	}
	return d
}

// Two clusters share nothing that one could reach the other's nodes by.
func TestClustersAreApart(t *testing.T) {
	s := newEngine(t).apply(t, "examples/several-clusters", nil)
	for _, typ := range []string{"aws_iam_role", "aws_kms_key", "aws_kms_alias", "aws_sqs_queue", "aws_cloudwatch_event_rule", "aws_security_group", "aws_launch_template", "aws_autoscaling_group"} {
		names := map[string]bool{}
		all := s.resources(typ)
		for _, r := range all {
			names[r.text("name")+r.text("description")] = true
		}
		if len(all) < 2 || len(names) != len(all) {
			t.Errorf("%s: %v", typ, names)
		}
	}
	for _, r := range s.resources("aws_iam_role_policy") {
		prod, staging := strings.Contains(r.text("policy"), "/prod/"), strings.Contains(r.text("policy"), "/staging/")
		if prod && staging {
			t.Errorf("%s is about both clusters", r.Address)
		}
	}
}

func TestControllerConfigDecodes(t *testing.T) {
	for _, migrated := range []bool{false, true} {
		s := newEngine(t).apply(t, "examples/from-the-recipe", map[string]any{"migrated": migrated})
		text := s.Values.Outputs["joinery"].Value.(map[string]any)["controller_config"].(string)
		c, err := v1alpha1.DecodeControllerConfig([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if c.Spec.Cluster != "K8S" || c.Spec.Bundle.KMSKeyID != "alias/joinery-K8S" || !slices.Equal(c.Spec.Approver.NodeRoles, []string{"joinery-K8S-node"}) ||
			c.Spec.Lifecycle.QueueURL == "" || (c.Spec.Bundle.LegacyTokenParameter == "") != migrated {
			t.Errorf("%s", text)
		}
	}
}

// The module and its examples are formatted as OpenTofu formats them.
func TestFormat(t *testing.T) {
	if out, err := newEngine(t).run(t.TempDir(), ".", "fmt", "-check", "-diff", "-recursive", "-no-color"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(".terraform"); err == nil {
		t.Error("the tests leave .terraform in the tree")
	}
}
