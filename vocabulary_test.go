package joinery_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vocabulary says which texts have one place, and what to use there instead. Comments
// may say what they like.
var vocabulary = []struct {
	text *regexp.Regexp
	use  string
	// apart are packages below internal/kube, which cannot import it, or its sources.
	apart []string
}{
	{regexp.MustCompile(`^ToBeDeletedByClusterAutoscaler`), "kube.Marked, kube.Unmarked or kube.ToBeDeletedTaint", nil},
	{regexp.MustCompile(`^DeletionCandidateOfClusterAutoscaler`), "kube.DeletionCandidateTaint", nil},
	{regexp.MustCompile(`(^|\.)cluster-autoscaler\.kubernetes\.io/`), "the constant of internal/kube/names.go, or a predicate such as kube.DaemonSetPod or kube.ScaleDownDisabled", nil},
	{regexp.MustCompile(`^node\.cloudprovider\.kubernetes\.io/`), "kube.StartupTaint or kube.UninitializedTaint", nil},
	{regexp.MustCompile(`^node-role\.kubernetes\.io/`), "kube.ControlPlane or kube.ControlPlaneLabel", []string{"api/v1alpha1"}},
	{regexp.MustCompile(`^joinery\.dev/(cordoned-for-removal|draining-since)`), "kube.CordonedAnnotation or kube.DrainingAnnotation", nil},
	{regexp.MustCompile(`^node\.kubernetes\.io/(not-ready|unreachable|network-unavailable)`), "kube.Schedulable, kube.StartupTaint or corev1.TaintNode…", nil},
	{regexp.MustCompile(`^kubernetes\.io/config\.`), "kube.MirrorPod", nil},
	{regexp.MustCompile(`^aws:/`), "kube.ProviderID and kube.InstanceOf", []string{"internal/identity"}},
	{regexp.MustCompile(`^bootstrap-token-`), "kube.BootstrapTokenSecretName", nil},
	{regexp.MustCompile(`^(token-id|token-secret|auth-extra-groups|usage-bootstrap-[a-z]+)$`), "kube.BootstrapToken…Key", nil},
	{regexp.MustCompile(`^system:bootstrap:`), "kube.BootstrapUserPrefix", nil},
	{regexp.MustCompile(`^system:bootstrappers`), "kube.BootstrapDefaultGroup", []string{"api/v1alpha1"}},
	{regexp.MustCompile(`^system:(node:|nodes$)`), "kube.NodeUser, kube.NodeUserPrefix or kube.NodesGroup", nil},
	{regexp.MustCompile(`^authentication\.kubernetes\.io/`), "kube.CredentialIDExtra", nil},
	{regexp.MustCompile(`^DaemonSet$`), "kube.DaemonSetPod, kube.DaemonSetOf or kube.DaemonSetOwner", nil},
}

// constants of other modules that only the predicate may compare with.
var predicates = map[string]string{
	"corev1.MirrorPodAnnotationKey": "kube.MirrorPod",
	"corev1.PodSucceeded":           "kube.Finished",
	"corev1.PodFailed":              "kube.Finished",
}

// comparisons are constants that may be named, such as in a list of what is kept, and
// not compared with.
var comparisons = map[string]string{
	"corev1.NodeReady":         "kube.KubeletReady, kube.Schedulable, kube.ReadyStatus or kube.Condition",
	"corev1.TaintNodeNotReady": "kube.Schedulable or kube.HasTaint",
	"v1alpha1.ScaleDownReady":  "kube.Condition or kube.LocalHold",
}

// functions are names of functions that were there several times, each a little apart.
var functions = map[string]string{
	"ready": "kube.KubeletReady or kube.Schedulable", "isReady": "kube.KubeletReady or kube.Schedulable", "nodeReady": "kube.KubeletReady or kube.Schedulable",
	"isDaemon": "kube.DaemonSetPod", "movable": "kube.NeedsEviction", "isControlPlane": "kube.ControlPlane", "hasTaint": "kube.HasTaint",
	"clip": "quote.Text, quote.Name or quote.Line", "quoted": "quote.Text", "version": "version.Version",
}

// twins returns what a file repeats of the vocabulary, with what to use instead.
func twins(t *testing.T, file string, source any) []string {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	add := func(at token.Pos, what, use string) {
		found = append(found, fset.Position(at).String()+": "+what+": use "+use)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if use := inVocabulary(file, n); use != "" {
				add(n.Pos(), n.Value, use)
			}
		case *ast.SelectorExpr:
			if use := predicates[selected(n)]; use != "" && !strings.HasPrefix(file, "internal/observe/") {
				add(n.Pos(), selected(n), use)
			}
		case *ast.BinaryExpr:
			for _, side := range []ast.Expr{n.X, n.Y} {
				if use := comparisons[selected(side)]; use != "" && (n.Op == token.EQL || n.Op == token.NEQ) {
					add(n.Pos(), "comparison with "+selected(side), use)
				}
			}
		case *ast.FuncDecl:
			if use := functions[n.Name.Name]; use != "" && n.Recv == nil && n.Type.Results.NumFields() == 1 {
				add(n.Pos(), "func "+n.Name.Name, use)
			}
		}
		return true
	})
	return found
}

func inVocabulary(file string, lit *ast.BasicLit) string {
	text, err := strconv.Unquote(lit.Value)
	if lit.Kind != token.STRING || err != nil {
		return ""
	}
	for _, v := range vocabulary {
		if v.text.MatchString(text) && !under(file, v.apart) {
			return v.use
		}
	}
	return ""
}

// selected returns package.Name of a selector; empty for anything else.
func selected(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + s.Sel.Name
}

// outside are the sources that the rule does not hold for:
//   - internal/kube, where the vocabulary is;
//   - tests, which say what others write, by their own words;
//   - the lab and the benchmark, which play AWS, kubeadm and operators.
func outside(file string) bool {
	return strings.HasSuffix(file, "_test.go") || under(file, []string{"internal/kube", "lab", "bench", "autoscaler/cluster/clustertest"})
}

func TestVocabulary(t *testing.T) {
	checked := 0
	for _, f := range sources(t) {
		if outside(f) {
			continue
		}
		checked++
		for _, twin := range twins(t, f, nil) {
			t.Error(twin)
		}
	}
	if checked < 200 {
		t.Errorf("only %d files checked", checked)
	}
}

// The rule names the twins that were there, and what may stay.
func TestVocabularyFindsTwins(t *testing.T) {
	for code, use := range map[string]string{
		`const toBeDeleted = "ToBeDeletedByClusterAutoscaler"`:                                                 "kube.Marked",
		`const daemonAnnotation = "cluster-autoscaler.kubernetes.io/daemonset-pod"`:                            "kube.DaemonSetPod",
		`const delay = "delay-deletion.cluster-autoscaler.kubernetes.io/"`:                                     "names.go",
		`const masterLabel = "node-role.kubernetes.io/control-plane"`:                                          "kube.ControlPlane",
		`const cordoned = "joinery.dev/cordoned-for-removal"`:                                                  "kube.CordonedAnnotation",
		`var id, _ = strings.CutPrefix(p, "aws://")`:                                                           "kube.InstanceOf",
		`var name = "bootstrap-token-" + id`:                                                                   "kube.BootstrapTokenSecretName",
		`var user = "system:node:" + name`:                                                                     "kube.NodeUser",
		`const key = "usage-bootstrap-signing"`:                                                                "kube.BootstrapToken",
		`func daemon(p *corev1.Pod) bool { return p.OwnerReferences[0].Kind == "DaemonSet" }`:                  "kube.DaemonSetPod",
		`func mirror(p *corev1.Pod) bool { _, ok := p.Annotations[corev1.MirrorPodAnnotationKey]; return ok }`: "kube.MirrorPod",
		`func ended(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed }`:                         "kube.Finished",
		`func up(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady }`:                           "kube.KubeletReady",
		`func up(c corev1.NodeCondition) bool { return v1alpha1.ScaleDownReady != c.Type }`:                    "kube.Condition",
		`func ready(n *corev1.Node) bool { return true }`:                                                      "kube.KubeletReady",
		`func clip(s string) string { return s[:64] }`:                                                         "quote.Text",
		`func version() string { return "" }`:                                                                  "version.Version",
	} {
		got := twins(t, "x/x.go", "package x\n"+code)
		if len(got) == 0 || !slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, use) }) {
			t.Errorf("%s\ngot %q, want the advice %s", code, got, use)
		}
	}
	for _, code := range []string{
		`const help = "the taint ToBeDeleted"`,
		`var kept = []corev1.NodeConditionType{corev1.NodeReady, v1alpha1.ScaleDownReady}`,
		`const flag = "enable-bootstrap-token-auth"`,
		`func (p *Publisher) ready() bool { return true }`,
		`import _ "k8s.io/api/core/v1"`,
	} {
		if got := twins(t, "x/x.go", "package x\n"+code); len(got) > 0 {
			t.Errorf("%s\ngot %q, want none", code, got)
		}
	}
}
