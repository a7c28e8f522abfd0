package joinery_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// discipline is what happens to a request to AWS whose answer is lost.
type discipline struct {
	once bool   // one attempt; the SDK does not repeat it
	why  string // and then
}

// awsWrites are all requests of the product that change something in AWS.
var awsWrites = map[string]discipline{
	"autoscaling.TerminateInstanceInAutoScalingGroup": {true, "a second one may lower the capacity twice: look for the instance, and remember it while AWS settles"},
	"autoscaling.SetDesiredCapacity":                  {true, "the size may be an old one by then: look at the group, and never write downwards"},
	"autoscaling.CompleteLifecycleAction":             {true, "it may complete the next action of the same hook: the next round looks whether the instance waits"},
	"autoscaling.RecordLifecycleActionHeartbeat":      {false, "a second one counts from the second"},
	"autoscaling.SetInstanceProtection":               {false, "names instances and what they are to be: the same twice"},
	"autoscaling.DeleteTags":                          {false, "names tags: the same twice"},
	"autoscaling.DeleteLifecycleHook":                 {false, "names one hook: look whether it is gone"},
	"ec2.DeleteTags":                                  {false, "names tags: the same twice"},
	"ssm.PutParameter":                                {true, "another leader may have written since: look, and judge by versions"},
	"sqs.ReceiveMessage":                              {false, "what an answer that is lost took away comes back"},
	"sqs.DeleteMessage":                               {false, "names one receipt: the same twice"},
}

// TestAWSWrites holds every request to AWS that changes something to the list,
// and those of one attempt to one attempt.
func TestAWSWrites(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") && path != "." || notShipped[path]) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for name, once := range requestsIn(t, path) {
			want, listed := awsWrites[name]
			seen[name] = true
			switch {
			case !listed:
				t.Errorf("%s: %s changes something in AWS: add to awsWrites what happens when its answer is lost", path, name)
			case want.once && !once:
				t.Errorf("%s: %s may be sent again by the SDK: %s", path, name, want.why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range awsWrites {
		if !seen[name] {
			t.Errorf("%s is listed and never sent", name)
		}
	}
}

// notShipped are directories that hold no product code.
var notShipped = map[string]bool{"lab": true, "bench": true, "release": true, "deploy": true, "packer": true}

// requestsIn finds the requests of a file that are no reads, and whether each of
// their calls has one attempt.
func requestsIn(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	services := awsServices(file)
	if len(services) == 0 {
		return nil
	}
	made, once := map[string]bool{}, map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if service, op := input(n.Type); services[service] && !reads(op) {
				made[service+"."+op] = true
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 3 && isOnce(n.Args[2]) {
				once[f.Sel.Name] = true
			}
		}
		return true
	})
	out := map[string]bool{}
	for name := range made {
		_, op, _ := strings.Cut(name, ".")
		out[name] = once[op]
	}
	return out
}

// awsServices are the names by which a file imports clients of AWS.
func awsServices(file *ast.File) map[string]bool {
	out := map[string]bool{}
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		if service, ok := strings.CutPrefix(path, "github.com/aws/aws-sdk-go-v2/service/"); ok && !strings.Contains(service, "/") {
			out[service] = true
		}
	}
	return out
}

// input takes service.OperationInput apart.
func input(e ast.Expr) (service, op string) {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	x, ok := s.X.(*ast.Ident)
	op, isInput := strings.CutSuffix(s.Sel.Name, "Input")
	if !ok || !isInput {
		return "", ""
	}
	return x.Name, op
}

func reads(op string) bool {
	for _, verb := range []string{"Describe", "Get", "List", "Decrypt"} {
		if strings.HasPrefix(op, verb) {
			return true
		}
	}
	return false
}

// isOnce reports that a call's options leave the SDK one attempt: they are called
// once, or say so in place.
func isOnce(e ast.Expr) bool {
	if i, ok := e.(*ast.Ident); ok {
		return i.Name == "once"
	}
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		found = found || ok && s.Sel.Name == "RetryMaxAttempts"
		return true
	})
	return found
}
