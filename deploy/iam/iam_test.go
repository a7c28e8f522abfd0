package iam_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/deploy/iam"
)

type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect string
		Principal   map[string]string
		Action      oneOrMany
		Resource    oneOrMany
		Condition   map[string]map[string]oneOrMany
	}
}

type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

var values = iam.Values{Partition: "aws", Region: "us-west-2", Account: "123456789012", Cluster: "demo", KMSKeyARN: "arn:aws:kms:us-west-2:123456789012:key/k"}

func queuePolicy(v iam.Values) (string, error) { return iam.Queue(v, "joinery-demo") }

func load(t *testing.T, render func(iam.Values) (string, error)) policy {
	t.Helper()
	text, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "${") {
		t.Errorf("placeholder left: %s", text)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	var p policy
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

func allowed(p policy) map[string]bool {
	out := map[string]bool{}
	for _, s := range p.Statement {
		for _, a := range s.Action {
			if s.Effect == "Allow" {
				out[a] = true
			}
		}
	}
	return out
}

// called collects the AWS actions that the packages under dirs name: every
// request of the SDK has an input type <service>.<Action>Input.
func called(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			services := serviceImports(f)
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					pkg, _ := s.X.(*ast.Ident)
					action, input := strings.CutSuffix(s.Sel.Name, "Input")
					if input && pkg != nil && services[pkg.Name] != "" {
						out[services[pkg.Name]+":"+action] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// serviceImports maps the names of a file's imports to the AWS services that
// they are clients of.
func serviceImports(f *ast.File) map[string]string {
	out := map[string]string{}
	for _, i := range f.Imports {
		_, service, ok := strings.Cut(strings.Trim(i.Path.Value, `"`), "aws-sdk-go-v2/service/")
		if !ok || strings.Contains(service, "/") {
			continue
		}
		name := service
		if i.Name != nil {
			name = i.Name.Name
		}
		out[name] = service
	}
	return out
}

// A key that services of the region cannot use, and a partition that is not the
// region's, are found in each document that names them.
func TestRenderRefusesWhatIsOfAnotherPlace(t *testing.T) {
	good := func() iam.Values {
		v := values
		v.Queue, v.Parameter, v.Group = "joinery-demo", "/old/token", "workers"
		return v
	}
	for name, change := range map[string]func(*iam.Values){
		"another partition":  func(v *iam.Values) { v.KMSKeyARN = "arn:aws-cn:kms:us-west-2:123456789012:key/k" },
		"another region":     func(v *iam.Values) { v.KMSKeyARN = "arn:aws:kms:eu-west-1:123456789012:key/k" },
		"an alias":           func(v *iam.Values) { v.KMSKeyARN = "arn:aws:kms:us-west-2:123456789012:alias/joinery-demo" },
		"an id alone":        func(v *iam.Values) { v.KMSKeyARN = "1234abcd-12ab-34cd-56ef-1234567890ab" },
		"no id":              func(v *iam.Values) { v.KMSKeyARN = "arn:aws:kms:us-west-2:123456789012:key/" },
		"no account":         func(v *iam.Values) { v.KMSKeyARN = "arn:aws:kms:us-west-2::key/k" },
		"another service":    func(v *iam.Values) { v.KMSKeyARN = "arn:aws:ssm:us-west-2:123456789012:key/k" },
		"aws for China":      func(v *iam.Values) { v.Region, v.Partition = "cn-north-1", "aws" },
		"China for GovCloud": func(v *iam.Values) { v.Region, v.Partition = "us-gov-west-1", "aws-cn" },
		"no partition":       func(v *iam.Values) { v.Partition = "aws-eu" },
	} {
		v, ofKey := good(), true
		change(&v)
		ofKey = v.KMSKeyARN != values.KMSKeyARN
		for _, d := range iam.Documents() {
			rendered, err := iam.Render(d.Name, good())
			if err != nil {
				t.Fatal(err)
			}
			named := strings.Contains(rendered, "arn:aws:")
			if ofKey {
				named = strings.Contains(rendered, values.KMSKeyARN)
			}
			if _, err := iam.Render(d.Name, v); (err != nil) != named {
				t.Errorf("%s: %s: %v", name, d.Name, err)
			}
		}
	}
}

// A key of another account of the same region is good.
func TestRenderTakesAKeyOfAnotherAccount(t *testing.T) {
	v := values
	v.KMSKeyARN = "arn:aws:kms:us-west-2:210987654321:key/mrk-1234abcd12ab34cd56ef1234567890ab"
	if text, err := iam.Node(v); err != nil || !strings.Contains(text, v.KMSKeyARN) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestPoliciesAllowWhatIsCalledAndNoMore(t *testing.T) {
	for _, test := range []struct {
		name   string
		render func(iam.Values) (string, error)
		dirs   []string
		// through are actions that AWS takes on the caller's behalf.
		through []string
		// optional are those of a policy of its own, for a setting that is off by
		// default.
		optional policy
	}{
		{"node", iam.Node, []string{"agent"}, []string{"kms:Decrypt"}, policy{}},
		{"controller", iam.Controller, []string{"controlplane", "autoscaler", "internal/fleet", "cmd/joinery-controller"}, []string{"kms:Decrypt", "kms:Encrypt"}, load(t, queuePolicy)},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := called(t, test.dirs...)
			for a := range allowed(test.optional) {
				if !want[a] {
					t.Errorf("the optional policy allows %s, which nothing calls", a)
				}
				delete(want, a)
			}
			for _, a := range test.through {
				want[a] = true
			}
			// Those of joinery release alone are the operator's.
			for _, a := range []string{"autoscaling:DeleteLifecycleHook", "autoscaling:DeleteTags", "ec2:DeleteTags"} {
				delete(want, a)
			}
			// STS GetCallerIdentity needs no permission and cannot be denied.
			delete(want, "sts:GetCallerIdentity")
			got := slices.Sorted(maps.Keys(allowed(load(t, test.render))))
			if want := slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
				t.Errorf("policy allows\n%q, the code calls\n%q", got, want)
			}
		})
	}
}

func TestWritesAreBoundToTheCluster(t *testing.T) {
	for _, s := range load(t, iam.Controller).Statement {
		for _, a := range s.Action {
			_, verb, _ := strings.Cut(a, ":")
			bound := strings.Contains(s.Resource[0], "parameter/joinery/demo/join") || slices.Equal(s.Condition["StringEquals"]["autoscaling:ResourceTag/joinery:cluster"], oneOrMany{"demo"}) ||
				len(s.Condition["StringEquals"]["kms:ViaService"]) > 0
			if !strings.HasPrefix(verb, "Describe") && !bound {
				t.Errorf("%s: %s is bound to no cluster", s.Sid, a)
			}
		}
	}
}

func TestRenderRefusesValuesThatChangeThePolicy(t *testing.T) {
	for _, cluster := range []string{"", "*", `x"`, "a,b", "${REGION}"} {
		v := values
		v.Cluster = cluster
		if text, err := iam.Node(v); err == nil {
			t.Errorf("cluster %q: rendered %s", cluster, text)
		}
	}
}
