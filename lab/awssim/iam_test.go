package awssim_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/lab/awssim"
)

// document writes a policy of statements.
func document(statements ...string) string {
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ",") + `]}`
}

// attach holds a role to a policy of statements.
func attach(t *testing.T, w *awssim.World, role string, statements ...string) {
	t.Helper()
	if err := w.AttachPolicy(role, document(statements...)); err != nil {
		t.Fatal(err)
	}
}

func TestAttachPolicyRefusesWhatItCannotHold(t *testing.T) {
	const good = `"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"`
	tests := []struct{ name, document, want string }{
		{"good", document(`{` + good + `}`), ""},
		{"one statement", `{"Version": "2012-10-17", "Statement": {` + good + `}}`, ""},
		{"no JSON", `{`, "unexpected EOF"},
		{"two documents", document(`{`+good+`}`) + `{}`, "something follows"},
		{"old version", `{"Version": "2008-10-17", "Statement": [{` + good + `}]}`, `version "2008-10-17"`},
		{"no statement", document(), "no statement"},
		{"null statement", document(`null`), "is null"},
		{"unknown element", document(`{` + good + `, "NotAction": "x"}`), `unknown field "NotAction"`},
		{"unknown element of the document", `{"Version": "2012-10-17", "Principal": "x", "Statement": []}`, `unknown field "Principal"`},
		{"effect", document(`{"Effect": "Maybe", "Action": "ssm:GetParameter", "Resource": "*"}`), `"Maybe"`},
		{"no resource", document(`{"Effect": "Allow", "Action": "ssm:GetParameter"}`), "Resource"},
		{"action without service", document(`{"Effect": "Allow", "Action": "GetParameter", "Resource": "*"}`), `"GetParameter"`},
		{"resource is no ARN", document(`{"Effect": "Allow", "Action": "*", "Resource": "/joinery"}`), `"/joinery"`},
		{"variable", document(`{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:ssm:*:*:parameter/${aws:username}"}`), "variables"},
		{"operator", document(`{` + good + `, "Condition": {"StringNotEquals": {"aws:RequestedRegion": "x"}}}`), "StringNotEquals"},
		{"key", document(`{` + good + `, "Condition": {"StringEquals": {"aws:SourceIp": "x"}}}`), "aws:SourceIp"},
		{"no values", document(`{` + good + `, "Condition": {"StringEquals": {"aws:RequestedRegion": []}}}`), "values are needed"},
		{"same Sid twice", document(`{"Sid": "A", `+good+`}`, `{"Sid": "A", `+good+`}`), "Sid A"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := newWorld(t)
			err := w.AttachPolicy("r", tt.document)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

const anyParameter = "arn:aws:ssm:us-west-2:123456789012:parameter/"

// TestPolicyEvaluation asks one question of many policies: may this role read
// /joinery/demo/join?
func TestPolicyEvaluation(t *testing.T) {
	allow := func(action, resource, rest string) string {
		return `{"Effect": "Allow", "Action": ` + action + `, "Resource": ` + resource + rest + `}`
	}
	const read, on = `"ssm:GetParameter"`, `"` + anyParameter + `joinery/demo/join"`
	tests := []struct {
		name     string
		policies []string
		allowed  bool
	}{
		{"no policy: administrator", nil, true},
		{"exact", []string{document(allow(read, on, ""))}, true},
		{"any action", []string{document(allow(`"*"`, `"*"`, ""))}, true},
		{"wildcard in the action", []string{document(allow(`"ssm:Get*"`, on, ""))}, true},
		{"case of the action", []string{document(allow(`"SSM:getparameter"`, on, ""))}, true},
		{"list", []string{document(allow(`["kms:Decrypt", "ssm:GetParameter"]`, `["arn:aws:ssm:*:*:parameter/x", `+on+`]`, ""))}, true},
		{"action is longer", []string{document(allow(`"ssm:GetParameters"`, on, ""))}, false},
		{"action is shorter", []string{document(allow(`"ssm:GetParam"`, on, ""))}, false},
		{"other parameter", []string{document(allow(read, `"`+anyParameter+`joinery/other/join"`, ""))}, false},
		{"prefix is not enough", []string{document(allow(read, `"`+anyParameter+`joinery"`, ""))}, false},
		{"wildcard in the resource", []string{document(allow(read, `"`+anyParameter+`joinery/*/join"`, ""))}, true},
		{"other region's resource", []string{document(allow(read, `"arn:aws:ssm:eu-west-1:123456789012:parameter/joinery/demo/join"`, ""))}, false},
		{"other partition's resource", []string{document(allow(read, `"arn:aws-cn:ssm:us-west-2:123456789012:parameter/joinery/demo/join"`, ""))}, false},
		{"second policy allows", []string{document(allow(`"kms:Decrypt"`, `"*"`, "")), document(allow(read, on, ""))}, true},
		{"deny wins", []string{document(allow(`"*"`, `"*"`, ""), `{"Effect": "Deny", "Action": "ssm:Get*", "Resource": "*"}`)}, false},
		{"deny of another policy wins", []string{document(`{"Effect": "Deny", "Action": "*", "Resource": ` + on + `}`), document(allow(read, on, ""))}, false},
		{"deny of something else", []string{document(allow(read, on, ""), `{"Effect": "Deny", "Action": "ssm:PutParameter", "Resource": "*"}`)}, true},
		{"condition holds", []string{document(allow(read, on, `, "Condition": {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-west-2"]}}`))}, true},
		{"condition does not hold", []string{document(allow(read, on, `, "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}`))}, false},
		{"equality knows no wildcard", []string{document(allow(read, on, `, "Condition": {"StringEquals": {"aws:RequestedRegion": "us-*"}}`))}, false},
		{"likeness does", []string{document(allow(read, on, `, "Condition": {"StringLike": {"aws:RequestedRegion": "us-*"}}`))}, true},
		{"one of two conditions does not hold", []string{document(allow(read, on, `, "Condition": {"StringLike": {"aws:RequestedRegion": "us-*"}, "StringEquals": {"aws:ResourceTag/team": "b"}}`))}, false},
		{"both hold", []string{document(allow(read, on, `, "Condition": {"StringLike": {"aws:RequestedRegion": "us-*"}, "StringEquals": {"aws:ResourceTag/team": "a"}}`))}, true},
		{"absent key", []string{document(allow(read, on, `, "Condition": {"StringLike": {"aws:ResourceTag/none": "*"}}`))}, false},
		{"deny whose condition does not hold", []string{document(allow(read, on, ""), `{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}}`)}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, c := newWorld(t)
			must(put(t.Context(), c, func(in *ssm.PutParameterInput) {
				in.Type, in.Tags = types.ParameterTypeString, []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}
			}))(t)
			for _, p := range tt.policies {
				if err := w.AttachPolicy("reader", p); err != nil {
					t.Fatal(err)
				}
			}
			want := "AccessDeniedException"
			if tt.allowed {
				want = ""
			}
			for _, name := range []string{joinName, joinName + ":1", anyParameter + "joinery/demo/join"} {
				_, err := get(t.Context(), connect(w, "reader"), name, true)
				wantCode(t, err, want)
			}
		})
	}
}

// TestRefusalIsWordedAsTheServiceWordsIt: code, status and message of each.
func TestRefusalIsWordedAsTheServiceWordsIt(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 2, Desired: 1})
	attach(t, w, "r", `{"Effect": "Deny", "Action": ["ssm:PutParameter", "sts:*"], "Resource": "*"}`)
	r := connect(w, "r")
	arn := *must(c.asg.DescribeAutoScalingGroups(t.Context(), nil))(t).AutoScalingGroups[0].AutoScalingGroupARN
	const user = "User: arn:aws:sts::123456789012:assumed-role/r/lab is not authorized to perform: "
	_, get := r.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/x")})
	_, put := r.ssm.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/x"), Value: aws.String("v"), Type: "String"})
	key := must(w.CreateKey("alias/k"))(t)
	_, encrypt := r.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String("alias/k"), Plaintext: []byte("x")})
	_, describe := r.asg.DescribeAutoScalingGroups(t.Context(), nil)
	_, instances := r.ec2.DescribeInstances(t.Context(), nil)
	_, end := r.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{"i-00000000"}})
	for _, tt := range []struct {
		err           error
		status        int
		code, message string
	}{
		{get, 400, "AccessDeniedException", user + "ssm:GetParameter on resource: " + anyParameter + "x because no identity-based policy allows the ssm:GetParameter action"},
		{put, 400, "AccessDeniedException", user + "ssm:PutParameter on resource: " + anyParameter + "x with an explicit deny in an identity-based policy"},
		{encrypt, 400, "AccessDeniedException", user + "kms:Encrypt on resource: " + key + " because no identity-based policy allows the kms:Encrypt action"},
		{setDesired(t, r, 2), 403, "AccessDenied", user + "autoscaling:SetDesiredCapacity on resource: " + arn + " because no identity-based policy allows the autoscaling:SetDesiredCapacity action"},
		{describe, 403, "AccessDenied", user + "autoscaling:DescribeAutoScalingGroups because no identity-based policy allows the autoscaling:DescribeAutoScalingGroups action"},
		{instances, 403, "UnauthorizedOperation", "You are not authorized to perform this operation. " + user + "ec2:DescribeInstances because no identity-based policy allows the ec2:DescribeInstances action"},
		{end, 403, "UnauthorizedOperation", "You are not authorized to perform this operation. " + user + "ec2:TerminateInstances on resource: arn:aws:ec2:us-west-2:123456789012:instance/i-00000000 because no identity-based policy allows the ec2:TerminateInstances action"},
	} {
		wantCode(t, tt.err, tt.code)
		var api smithy.APIError
		var response interface{ HTTPStatusCode() int }
		if !errors.As(tt.err, &api) || api.ErrorMessage() != tt.message {
			t.Errorf("message %v\nwant %s", tt.err, tt.message)
		}
		if !errors.As(tt.err, &response) || response.HTTPStatusCode() != tt.status {
			t.Errorf("status of %v, want %d", tt.err, tt.status)
		}
	}
	// It can be denied to nobody.
	must(r.sts.GetCallerIdentity(t.Context(), nil))(t)
	if n := len(w.CallsTo("ssm", "PutParameter")); n != 1 || w.CallsTo("ssm", "PutParameter")[0].Error != "AccessDeniedException" {
		t.Errorf("refused calls are not in the log: %d", n)
	}
}

// TestKeyThroughSSM: SSM uses a key with the caller's permissions, bound to the
// parameter and to itself.
func TestKeyThroughSSM(t *testing.T) {
	const parameter = `{"Sid": "P", "Effect": "Allow", "Action": ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameterHistory", "ssm:PutParameter"], "Resource": "*"}`
	crypt := func(actions, via, context string) string {
		return `{"Sid": "K", "Effect": "Allow", "Action": ` + actions + `, "Resource": "arn:aws:kms:us-west-2:123456789012:key/*",
			"Condition": {"StringEquals": {"kms:ViaService": "` + via + `", "kms:EncryptionContext:PARAMETER_ARN": "` + anyParameter + context + `"}}}`
	}
	const via, arn = "ssm.us-west-2.amazonaws.com", "joinery/demo/join"
	const denied = "AccessDeniedException"
	tests := []struct {
		name      string
		statement string
		key       string
		tier      types.ParameterTier
		put, get  string // error codes
	}{
		{"no permission for the key", "", "alias/joinery", "", denied, denied},
		{"key of SSM needs none", "", "", "", "", ""},
		{"key of SSM, denied", `{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}`, "", "", denied, denied},
		{"both", crypt(`["kms:Encrypt", "kms:Decrypt"]`, via, arn), "alias/joinery", "", "", ""},
		{"decrypt only", crypt(`"kms:Decrypt"`, via, arn), "alias/joinery", "", denied, ""},
		{"encrypt only", crypt(`"kms:Encrypt"`, via, arn), "alias/joinery", "", "", denied},
		{"advanced wants a data key", crypt(`["kms:Encrypt", "kms:Decrypt"]`, via, arn), "alias/joinery", types.ParameterTierAdvanced, denied, ""},
		{"advanced has it", crypt(`["kms:GenerateDataKey", "kms:Decrypt"]`, via, arn), "alias/joinery", types.ParameterTierAdvanced, "", ""},
		{"other service", crypt(`["kms:Encrypt", "kms:Decrypt"]`, "ec2.us-west-2.amazonaws.com", arn), "alias/joinery", "", denied, denied},
		{"other parameter", crypt(`["kms:Encrypt", "kms:Decrypt"]`, via, "joinery/other/join"), "alias/joinery", "", denied, denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, admin := newWorld(t)
			must(w.CreateKey("alias/joinery"))(t)
			write := func(in *ssm.PutParameterInput) {
				in.Overwrite, in.Tier = aws.Bool(true), tt.tier
				if tt.key != "" {
					in.KeyId = &tt.key
				}
			}
			must(put(t.Context(), admin, write))(t)
			statements := []string{parameter}
			if tt.statement != "" {
				statements = append(statements, tt.statement)
			}
			attach(t, w, "r", statements...)
			r := connect(w, "r")
			_, err := put(t.Context(), r, write)
			wantCode(t, err, tt.put)
			_, err = get(t.Context(), r, joinName, true)
			wantCode(t, err, tt.get)
			_, err = r.ssm.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{joinName}, WithDecryption: aws.Bool(true)})
			wantCode(t, err, tt.get)
			_, err = r.ssm.GetParameterHistory(t.Context(), &ssm.GetParameterHistoryInput{Name: aws.String(joinName), WithDecryption: aws.Bool(true)})
			wantCode(t, err, tt.get)
			_, err = get(t.Context(), r, joinName, false) // the ciphertext takes no key
			wantCode(t, err, "")
			if tt.key != "" {
				_, err = r.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String("alias/joinery"), Plaintext: []byte("x"), EncryptionContext: map[string]string{"PARAMETER_ARN": anyParameter + arn}})
				wantCode(t, err, denied) // the key is good for SSM only
			}
		})
	}
}

// TestKeyDirectly: without a service between, the same encryption context holds.
func TestKeyDirectly(t *testing.T) {
	w, admin := newWorld(t)
	key := must(w.CreateKey("alias/k"))(t)
	attach(t, w, "r", `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "`+key+`", "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}}}`)
	for app, want := range map[string]string{"a": "", "b": "AccessDeniedException"} {
		context := map[string]string{"app": app}
		sealed := must(admin.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: context}))(t)
		_, err := connect(w, "r").kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: context})
		wantCode(t, err, want)
	}
}

func TestOverwriteAndTags(t *testing.T) {
	w, _ := newWorld(t)
	attach(t, w, "r", `{"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": "*", "Condition": {"StringEquals": {"ssm:Overwrite": "false"}}}`)
	r := connect(w, "r")
	plain := func(in *ssm.PutParameterInput) { in.Type = types.ParameterTypeString }
	_, err := put(t.Context(), r, func(in *ssm.PutParameterInput) {
		plain(in)
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
	})
	wantCode(t, err, "AccessDeniedException") // ssm:AddTagsToResource
	_, err = put(t.Context(), r, plain)
	wantCode(t, err, "")
	_, err = put(t.Context(), r, func(in *ssm.PutParameterInput) { plain(in); in.Overwrite = aws.Bool(true) })
	wantCode(t, err, "AccessDeniedException")
}

// TestGroupTagsBind: writes to groups are bound to the group's tags; what only
// describes takes the resource "*".
func TestGroupTagsBind(t *testing.T) {
	w, _ := newGroup(t, awssim.GroupSpec{Max: 3, Desired: 1, Tags: []awssim.Tag{{Key: "joinery:cluster", Value: "demo"}}})
	if err := w.PutGroup(awssim.GroupSpec{Name: "other", LaunchTemplate: "nodes", Max: 3, Desired: 1}); err != nil {
		t.Fatal(err)
	}
	const groups = "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:*:autoScalingGroupName/*"
	attach(t, w, "r",
		`{"Sid": "Write", "Effect": "Allow", "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"], "Resource": "`+groups+`",
			"Condition": {"StringEquals": {"autoscaling:ResourceTag/joinery:cluster": "demo"}}}`,
		`{"Sid": "Read", "Effect": "Allow", "Action": "autoscaling:DescribeAutoScalingGroups", "Resource": "`+groups+`"}`,
		`{"Sid": "Star", "Effect": "Allow", "Action": "autoscaling:DescribeAutoScalingInstances", "Resource": "*"}`)
	r := connect(w, "r")
	wantCode(t, setDesired(t, r, 2), "")
	_, err := r.asg.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("other"), DesiredCapacity: aws.Int32(2)})
	wantCode(t, err, "AccessDenied")
	_, err = r.asg.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("none"), DesiredCapacity: aws.Int32(2)})
	wantCode(t, err, "AccessDenied")
	wantCode(t, terminate(t, r, must(w.Group("other"))(t).Members[0].InstanceID, false), "AccessDenied")
	wantCode(t, terminate(t, r, group(t, w).Members[0].InstanceID, true), "")
	_, err = r.asg.DescribeAutoScalingGroups(t.Context(), nil) // not on the ARN of groups
	wantCode(t, err, "AccessDenied")
	_, err = r.asg.DescribeAutoScalingInstances(t.Context(), nil)
	wantCode(t, err, "")
	if got, want := w.UnusedPermissions("r"), []string{"Read: autoscaling:DescribeAutoScalingGroups"}; !slices.Equal(got, want) {
		t.Errorf("unused %q, want %q", got, want)
	}
}

func TestInstanceTagsBind(t *testing.T) {
	w, _ := newWorld(t)
	attach(t, w, "r", `{"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "arn:aws:ec2:*:*:instance/*", "Condition": {"StringLike": {"aws:ResourceTag/team": "a*"}}}`)
	r := connect(w, "r")
	ours := add(t, w, awssim.InstanceSpec{Tags: map[string]string{"team": "a1"}})
	theirs := add(t, w, awssim.InstanceSpec{Tags: map[string]string{"team": "b1"}})
	_, err := r.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{ours.ID, theirs.ID}})
	wantCode(t, err, "UnauthorizedOperation")
	if i := must(w.Instance(ours.ID))(t); i.State != awssim.Running {
		t.Errorf("a refused call changed something: %s", i.State)
	}
	_, err = r.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{ours.ID}})
	wantCode(t, err, "")
}

// TestBodyThatCannotBeJudgedIsRefused: no reading of a body gets past the check
// that the action itself would accept.
func TestBodyThatCannotBeJudgedIsRefused(t *testing.T) {
	w, c := newWorld(t)
	must(put(t.Context(), c, nil))(t)
	attach(t, w, "fuzz", `{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "`+anyParameter+`x"}`)
	for _, body := range []string{`{"Name":"/joinery/demo/join"} x`, `{"Name":"/x","Name":"/joinery/demo/join"}`, `{"name":"/joinery/demo/join"}`, `{"Name":"/joinery/demo/join","Names":["/x"]}`} {
		resp, out := signed(t, w, "ssm", "AmazonSSM.GetParameter", []byte(body))
		if resp.StatusCode != 400 || strings.Contains(string(out), "Value") {
			t.Errorf("%s: %d %s", body, resp.StatusCode, out)
		}
	}
}
