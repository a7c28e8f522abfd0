package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiServerFlags looks at how the API servers run, as their static pods say.
func apiServerFlags(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	return staticPods(ctx, c, "kube-apiserver", judgeAPIServer)
}

// controllerManagerFlags looks at which controllers run.
func controllerManagerFlags(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	return staticPods(ctx, c, "kube-controller-manager", judgeControllerManager)
}

// staticPods judges each pod of a component. kubeadm labels them so.
func staticPods(ctx context.Context, c Cluster, component string, judge func(flags) []Finding) ([]Finding, error) {
	pods, err := c.Client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=" + component})
	if err != nil {
		return nil, fmt.Errorf("list pods of %s: %w", component, err)
	}
	if len(pods.Items) == 0 {
		return []Finding{{
			Level: Unknown, Found: "no pod in kube-system has the label component=" + component + ", so its flags are not known",
			Why:  "what Joinery builds on may be switched off",
			Mend: "on each master: ps -o args= -C " + component,
		}}, nil
	}
	var out []Finding
	for _, p := range pods.Items {
		for _, f := range judge(flagsOf(p, component)) {
			f.Found = p.Name + ": " + f.Found
			if f.Mend != "" {
				f.Mend = fmt.Sprintf("on %s: sudoedit /etc/kubernetes/manifests/%s.yaml, and set %s", hostOf(p), component, f.Mend)
			}
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return well("%d pods of %s, with the flags that Joinery needs", len(pods.Items), component), nil
	}
	return out, nil
}

func hostOf(p corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return "its master"
	}
	return p.Spec.NodeName
}

// flags are a program's, by name without dashes.
type flags map[string]string

func flagsOf(p corev1.Pod, component string) flags {
	out := flags{}
	for _, c := range p.Spec.Containers {
		if c.Name != component && len(p.Spec.Containers) > 1 {
			continue
		}
		args := slices.Concat(c.Command, c.Args)
		for i, a := range args {
			name, dashed := strings.CutPrefix(a, "--")
			if !dashed {
				continue
			}
			name, value, assigned := strings.Cut(name, "=")
			if !assigned {
				value = "true" // of a boolean flag
				if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
					value = args[i+1]
				}
			}
			out[name] = value
		}
	}
	return out
}

// list splits a flag's value.
func (f flags) list(name string) []string {
	return strings.FieldsFunc(f[name], func(r rune) bool { return r == ',' || r == ' ' })
}

func judgeAPIServer(f flags) []Finding {
	var out []Finding
	if !slices.Contains(f.list("enable-admission-plugins"), "NodeRestriction") || slices.Contains(f.list("disable-admission-plugins"), "NodeRestriction") {
		out = append(out, Finding{Level: Unsafe, Found: "admission plugin NodeRestriction is off",
			Why:  "a node may write other nodes' objects, give itself any label, and ask for another node's certificate",
			Mend: "--enable-admission-plugins=NodeRestriction beside the others"})
	}
	return append(append(out, judgeAuthorization(f)...), judgeAuthentication(f)...)
}

func judgeAuthorization(f flags) []Finding {
	if file := f["authorization-config"]; file != "" {
		return []Finding{{Level: Unknown, Found: "authorization is configured in " + file + ", which is not looked at",
			Why: "without the authorizers Node and RBAC, nodes read what they must not", Mend: "the authorizers Node and RBAC in that file"}}
	}
	modes := f.list("authorization-mode")
	if len(modes) == 0 || slices.Contains(modes, "AlwaysAllow") {
		return []Finding{{Level: Unsafe, Found: "authorization mode is AlwaysAllow", Why: "everybody may do everything", Mend: "--authorization-mode=Node,RBAC"}}
	}
	var out []Finding
	for mode, why := range map[string]string{
		"Node": "nodes read the secrets of others, or none of their own",
		"RBAC": "Joinery's rights are RBAC objects",
	} {
		if !slices.Contains(modes, mode) {
			out = append(out, Finding{Level: Unsafe, Found: "authorization mode lacks " + mode, Why: why, Mend: "--authorization-mode=Node,RBAC"})
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Found, b.Found) })
	return out
}

func judgeAuthentication(f flags) []Finding {
	if f["enable-bootstrap-token-auth"] == "true" {
		return nil
	}
	return []Finding{{Level: Broken, Found: "bootstrap tokens do not authenticate", Why: "no node can ask for a certificate", Mend: "--enable-bootstrap-token-auth=true"}}
}

// Names of kube-controller-manager's controllers, the new and the old, and
// whether "*" includes them (Kubernetes, cmd/kube-controller-manager/names).
var (
	signing = controllerName{"certificatesigningrequest-signing-controller", "csrsigning", true}
	cleaner = controllerName{"token-cleaner-controller", "tokencleaner", false}
)

type controllerName struct {
	name, alias string
	byDefault   bool
}

// runs applies kube-controller-manager's rule: the first mention decides, and
// then the star.
func (c controllerName) runs(f flags) bool {
	if _, set := f["controllers"]; !set {
		return c.byDefault
	}
	star := false
	for _, named := range f.list("controllers") {
		switch strings.TrimPrefix(named, "-") {
		case c.name, c.alias:
			return !strings.HasPrefix(named, "-")
		case "*":
			star = true
		}
	}
	return star && c.byDefault
}

func judgeControllerManager(f flags) []Finding {
	var out []Finding
	if !signing.runs(f) {
		out = append(out, Finding{Level: Broken, Found: "controller " + signing.name + " is off",
			Why: "an approved request never becomes a certificate", Mend: "--controllers without -" + signing.alias})
	}
	if !cleaner.runs(f) {
		out = append(out, Finding{Level: Warning, Found: "controller " + cleaner.name + " is off",
			Why: "tokens that nobody deletes stay after their end", Mend: "--controllers=*,bootstrap-signer-controller," + cleaner.name})
	}
	return append(out, signingDuration(f)...)
}
