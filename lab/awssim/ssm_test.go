package awssim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

const joinName = "/joinery/demo/join"

func put(ctx context.Context, c clients, change func(*ssm.PutParameterInput)) (*ssm.PutParameterOutput, error) {
	in := &ssm.PutParameterInput{Name: aws.String(joinName), Value: aws.String("token-1"), Type: types.ParameterTypeSecureString}
	if change != nil {
		change(in)
	}
	return c.ssm.PutParameter(ctx, in)
}

func get(ctx context.Context, c clients, name string, decrypt bool) (*types.Parameter, error) {
	out, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(decrypt)})
	if err != nil {
		return nil, err
	}
	return out.Parameter, nil
}

func TestPutParameterRules(t *testing.T) {
	w, c := newWorld(t)
	if _, err := w.CreateKey("alias/joinery"); err != nil {
		t.Fatal(err)
	}
	value := func(n int) *string { return aws.String(strings.Repeat("x", n)) }
	tests := []struct {
		name   string
		change func(*ssm.PutParameterInput)
		code   string
	}{
		{"own key", func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/joinery") }, ""},
		{"exists", nil, "ParameterAlreadyExists"},
		{"overwrite", func(in *ssm.PutParameterInput) { in.Overwrite = aws.Bool(true) }, ""},
		{"tags and overwrite", func(in *ssm.PutParameterInput) {
			in.Overwrite, in.Tags = aws.Bool(true), []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
		}, "ValidationException"},
		{"tags at creation", func(in *ssm.PutParameterInput) {
			in.Name, in.Tags = aws.String("/tagged"), []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
		}, ""},
		{"unknown key alias", func(in *ssm.PutParameterInput) { in.Name, in.KeyId = aws.String("/k"), aws.String("alias/nobody") }, "InvalidKeyId"},
		{"unknown key id", func(in *ssm.PutParameterInput) { in.Name, in.KeyId = aws.String("/k"), aws.String("1234") }, "InvalidKeyId"},
		{"key for plain string", func(in *ssm.PutParameterInput) {
			in.Name, in.Type, in.KeyId = aws.String("/k"), types.ParameterTypeString, aws.String("alias/joinery")
		}, "ValidationException"},
		{"no type", func(in *ssm.PutParameterInput) { in.Name, in.Type = aws.String("/n"), "" }, "ValidationException"},
		{"bad type", func(in *ssm.PutParameterInput) { in.Name, in.Type = aws.String("/n"), "Blob" }, "UnsupportedParameterType"},
		{"reserved name", func(in *ssm.PutParameterInput) { in.Name = aws.String("/aws/x") }, "ValidationException"},
		{"relative name", func(in *ssm.PutParameterInput) { in.Name = aws.String("a/b") }, "ValidationException"},
		{"deep name", func(in *ssm.PutParameterInput) { in.Name = aws.String(strings.Repeat("/a", 16)) }, "HierarchyLevelLimitExceededException"},
		{"4096 bytes", func(in *ssm.PutParameterInput) { in.Name, in.Value = aws.String("/s"), value(4096) }, ""},
		{"4097 bytes", func(in *ssm.PutParameterInput) { in.Name, in.Value = aws.String("/t"), value(4097) }, "ValidationException"},
		{"4097 bytes advanced", func(in *ssm.PutParameterInput) {
			in.Name, in.Value, in.Tier = aws.String("/u"), value(4097), types.ParameterTierAdvanced
		}, ""},
		{"8193 bytes advanced", func(in *ssm.PutParameterInput) {
			in.Name, in.Value, in.Tier = aws.String("/v"), value(8193), types.ParameterTierAdvanced
		}, "ValidationException"},
		{"downgrade", func(in *ssm.PutParameterInput) {
			in.Name, in.Overwrite, in.Tier = aws.String("/u"), aws.Bool(true), types.ParameterTierStandard
		}, "ValidationException"},
		{"intelligent tiering", func(in *ssm.PutParameterInput) {
			in.Name, in.Value, in.Tier = aws.String("/i"), value(5000), types.ParameterTierIntelligentTiering
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := put(t.Context(), c, tt.change)
			wantCode(t, err, tt.code)
		})
	}
}

func TestSecureStringIsSecret(t *testing.T) {
	w, c := newWorld(t)
	key, err := w.CreateKey("alias/joinery")
	if err != nil {
		t.Fatal(err)
	}
	must(put(t.Context(), c, func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/joinery") }))(t)
	closed := must(get(t.Context(), c, joinName, false))(t)
	if strings.Contains(aws.ToString(closed.Value), "token") {
		t.Errorf("undecrypted value %q shows the secret", aws.ToString(closed.Value))
	}
	open := must(get(t.Context(), c, aws.ToString(closed.ARN), true))(t)
	if got := aws.ToString(open.Value); got != "token-1" {
		t.Errorf("decrypted value by ARN %q", got)
	}
	if age := time.Since(aws.ToTime(open.LastModifiedDate)); age < -time.Second || age > time.Minute {
		t.Errorf("LastModifiedDate is %v ago", age)
	}
	d := must(c.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/joinery")}))(t)
	if aws.ToString(d.KeyMetadata.Arn) != key {
		t.Errorf("key ARN %s, want %s", aws.ToString(d.KeyMetadata.Arn), key)
	}
	for _, call := range w.Calls() {
		for k, v := range call.Params {
			if strings.Contains(v, "token-1") {
				t.Errorf("call log of %s shows the secret in %s", call.Action, k)
			}
		}
	}
}

func TestVersionsAndLabels(t *testing.T) {
	_, c := newWorld(t)
	for n := range 103 {
		out := must(put(t.Context(), c, func(in *ssm.PutParameterInput) { in.Overwrite = aws.Bool(true) }))(t)
		if out.Version != int64(n+1) {
			t.Fatalf("version %d, want %d", out.Version, n+1)
		}
	}
	_, err := c.ssm.LabelParameterVersion(t.Context(), &ssm.LabelParameterVersionInput{Name: aws.String(joinName), ParameterVersion: aws.Int64(50), Labels: []string{"good"}})
	wantCode(t, err, "")
	if p := must(get(t.Context(), c, joinName+":good", true))(t); p.Version != 50 || aws.ToString(p.Selector) != ":good" {
		t.Errorf("label selects version %d (%s)", p.Version, aws.ToString(p.Selector))
	}
	if p := must(get(t.Context(), c, joinName+":103", true))(t); p.Version != 103 {
		t.Errorf("selector 103 gave version %d", p.Version)
	}
	for _, gone := range []string{":3", ":104", ":bad"} {
		_, err := get(t.Context(), c, joinName+gone, true)
		wantCode(t, err, "ParameterVersionNotFound")
	}
	var versions []int64
	pages := ssm.NewGetParameterHistoryPaginator(c.ssm, &ssm.GetParameterHistoryInput{Name: aws.String(joinName), WithDecryption: aws.Bool(true)})
	for pages.HasMorePages() {
		for _, h := range must(pages.NextPage(t.Context()))(t).Parameters {
			versions = append(versions, h.Version)
		}
	}
	if len(versions) != 100 || versions[0] != 4 || versions[99] != 103 {
		t.Errorf("history holds %d versions from %d to %d, want 100 from 4 to 103", len(versions), versions[0], versions[len(versions)-1])
	}
}

func TestListAndDeleteParameters(t *testing.T) {
	_, c := newWorld(t)
	_, err := get(t.Context(), c, joinName, true)
	wantCode(t, err, "ParameterNotFound")
	must(put(t.Context(), c, nil))(t)
	must(put(t.Context(), c, func(in *ssm.PutParameterInput) { in.Name, in.Type = aws.String("/other"), types.ParameterTypeString }))(t)
	out := must(c.ssm.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{joinName, "/none"}}))(t)
	if len(out.Parameters) != 1 || len(out.InvalidParameters) != 1 {
		t.Errorf("GetParameters found %d, refused %v", len(out.Parameters), out.InvalidParameters)
	}
	list := must(c.ssm.DescribeParameters(t.Context(), &ssm.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{
		{Key: aws.String("Name"), Option: aws.String("BeginsWith"), Values: []string{"/joinery/"}},
	}}))(t)
	if len(list.Parameters) != 1 || aws.ToString(list.Parameters[0].KeyId) != "alias/aws/ssm" || list.Parameters[0].LastModifiedDate == nil {
		t.Errorf("DescribeParameters %+v", list.Parameters)
	}
	_, err = c.ssm.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(joinName)})
	wantCode(t, err, "")
	_, err = c.ssm.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(joinName)})
	wantCode(t, err, "ParameterNotFound")
	del := must(c.ssm.DeleteParameters(t.Context(), &ssm.DeleteParametersInput{Names: []string{"/other", joinName}}))(t)
	if len(del.DeletedParameters) != 1 || len(del.InvalidParameters) != 1 {
		t.Errorf("DeleteParameters %+v", del)
	}
}

func TestKMS(t *testing.T) {
	_, c := newWorld(t)
	made := must(c.kms.CreateKey(t.Context(), &kms.CreateKeyInput{Description: aws.String("test")}))(t)
	id := made.KeyMetadata.KeyId
	_, err := c.kms.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: id})
	wantCode(t, err, "")
	_, err = c.kms.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: id})
	wantCode(t, err, "AlreadyExistsException")
	_, err = c.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/b")})
	wantCode(t, err, "NotFoundException")

	bound := map[string]string{"PARAMETER_ARN": "arn:x", "b": "c"}
	enc := must(c.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String("alias/a"), Plaintext: []byte("secret"), EncryptionContext: bound}))(t)
	dec := must(c.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: bound}))(t)
	if string(dec.Plaintext) != "secret" {
		t.Errorf("decrypted %q", dec.Plaintext)
	}
	for _, other := range []map[string]string{nil, {"PARAMETER_ARN": "arn:y"}} {
		_, err = c.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: other})
		wantCode(t, err, "InvalidCiphertextException")
	}
	_, err = c.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte{1, 2, 3}})
	wantCode(t, err, "InvalidCiphertextException")
	second := must(c.kms.CreateKey(t.Context(), nil))(t)
	_, err = c.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: bound, KeyId: second.KeyMetadata.Arn})
	wantCode(t, err, "IncorrectKeyException")
	_, err = c.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: id, Plaintext: make([]byte, 4097)})
	wantCode(t, err, "ValidationException")
}

// TestTypeOfParameterStays: a parameter that is there keeps its type, whichever
// it is.
func TestTypeOfParameterStays(t *testing.T) {
	_, c := newWorld(t)
	kinds := types.ParameterType("").Values()
	for _, from := range kinds {
		for _, to := range kinds {
			name := "/" + string(from) + "/" + string(to)
			put := func(kind types.ParameterType) error {
				_, err := c.ssm.PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: aws.String("v"), Type: kind, Overwrite: aws.Bool(true)})
				return err
			}
			wantCode(t, put(from), "")
			want := "HierarchyTypeMismatchException"
			if from == to {
				want = ""
			}
			wantCode(t, put(to), want)
			wantCode(t, put(""), "")
		}
	}
}
