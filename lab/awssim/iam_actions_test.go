package awssim_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/joinery/joinery/lab/awssim"
)

// iamCall sends a request to IAM and returns the code of its error, empty for none, and
// the answer.
func iamCall(t *testing.T, w *awssim.World, action string, parameters map[string]string) (code, body string) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for k, v := range parameters {
		form.Set(k, v)
	}
	_, text := signed(t, w, "iam", "", []byte(form.Encode()))
	body = string(text)
	_, rest, failed := strings.Cut(body, "<Code>")
	if !failed {
		return "", body
	}
	code, _, _ = strings.Cut(rest, "</Code>")
	return code, body
}

const readParameters = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}]}`

func TestRolesByIAM(t *testing.T) {
	w, _ := newWorld(t)
	role, policy := map[string]string{"RoleName": "node"}, map[string]string{"PolicyName": "join"}
	profile := map[string]string{"InstanceProfileName": "workers"}
	both := func(all ...map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range all {
			maps.Copy(out, m)
		}
		return out
	}
	for _, step := range []struct {
		action     string
		parameters map[string]string
		want       string
	}{
		{"PutRolePolicy", both(role, policy, map[string]string{"PolicyDocument": readParameters}), "NoSuchEntity"},
		{"CreateRole", map[string]string{"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "ValidationError"},
		{"CreateRole", both(role, map[string]string{"AssumeRolePolicyDocument": "{}"}), ""},
		{"CreateRole", both(role, map[string]string{"AssumeRolePolicyDocument": "{}"}), "EntityAlreadyExists"},
		{"CreateRole", both(role, map[string]string{"Path": "/x/"}), "UnsupportedOperation"},
		{"PutRolePolicy", both(role, policy, map[string]string{"PolicyDocument": `{"Version": "1"}`}), "MalformedPolicyDocument"},
		{"PutRolePolicy", both(role, policy, map[string]string{"PolicyDocument": readParameters}), ""},
		{"AddRoleToInstanceProfile", both(role, profile), "NoSuchEntity"},
		{"CreateInstanceProfile", profile, ""},
		{"CreateInstanceProfile", profile, "EntityAlreadyExists"},
		{"AddRoleToInstanceProfile", both(role, profile), ""},
		{"AddRoleToInstanceProfile", both(role, profile), "LimitExceeded"},
		{"DeleteInstanceProfile", profile, "DeleteConflict"},
		{"DeleteRole", role, "DeleteConflict"},
		{"DeleteRolePolicy", both(role, policy), ""},
		{"DeleteRolePolicy", both(role, policy), "NoSuchEntity"},
		{"DeleteRole", role, "DeleteConflict"},
		{"RemoveRoleFromInstanceProfile", both(role, profile), ""},
		{"RemoveRoleFromInstanceProfile", both(role, profile), "NoSuchEntity"},
		{"DeleteRole", role, ""},
		{"DeleteRole", role, "NoSuchEntity"},
		{"DeleteInstanceProfile", profile, ""},
		{"DeleteInstanceProfile", profile, "NoSuchEntity"},
	} {
		if got, body := iamCall(t, w, step.action, step.parameters); got != step.want {
			t.Errorf("%s %v: %q, want %q: %s", step.action, step.parameters, got, step.want, body)
		}
	}
}

// A role that IAM made may do what its policies say from then on, and nothing else.
func TestRolesByIAMAreHeld(t *testing.T) {
	w, _ := newWorld(t)
	w.CreateRole("node")
	client := ssm.NewFromConfig(w.Config("node"))
	read := func() error {
		_, err := client.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/x")})
		return err
	}
	wantCode(t, read(), "AccessDeniedException")
	put := map[string]string{"RoleName": "node", "PolicyName": "join", "PolicyDocument": readParameters}
	for range 2 { // the second time in place of the first
		if code, body := iamCall(t, w, "PutRolePolicy", put); code != "" {
			t.Fatal(body)
		}
	}
	wantCode(t, read(), "ParameterNotFound")
	if _, body := iamCall(t, w, "ListRolePolicies", map[string]string{"RoleName": "node"}); strings.Count(body, "<member>join</member>") != 1 {
		t.Errorf("policies: %s", body)
	}
	if code, body := iamCall(t, w, "DeleteRolePolicy", map[string]string{"RoleName": "node", "PolicyName": "join"}); code != "" {
		t.Fatal(body)
	}
	wantCode(t, read(), "AccessDeniedException")
}

// An instance has the role of its profile, whatever the profile is called.
func TestProfileOfAnotherName(t *testing.T) {
	w, _ := newWorld(t)
	w.CreateRole("node")
	iamCall(t, w, "CreateInstanceProfile", map[string]string{"InstanceProfileName": "workers"})
	iamCall(t, w, "AddRoleToInstanceProfile", map[string]string{"InstanceProfileName": "workers", "RoleName": "node"})
	i, err := w.AddInstance(awssim.InstanceSpec{Role: "workers"})
	if err != nil || i.Role != "node" {
		t.Errorf("role %q: %v", i.Role, err)
	}
}

func TestKeyGoes(t *testing.T) {
	w, _ := newWorld(t)
	arn, err := w.CreateKey("alias/k")
	if err != nil {
		t.Fatal(err)
	}
	client := kms.NewFromConfig(w.Config("admin"))
	sealed := must(client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String("alias/k"), Plaintext: []byte("x")}))(t)
	must(client.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: aws.String("alias/k")}))(t)
	_, err = client.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: aws.String("alias/k")})
	wantCode(t, err, "NotFoundException")
	_, err = client.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn, PendingWindowInDays: aws.Int32(6)})
	wantCode(t, err, "ValidationException")
	out := must(client.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn, PendingWindowInDays: aws.Int32(7)}))(t)
	if out.DeletionDate == nil {
		t.Errorf("answered %+v", out)
	}
	_, err = client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if err == nil {
		t.Error("decrypted")
	}
}
