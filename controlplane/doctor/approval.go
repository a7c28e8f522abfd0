package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/joinery/joinery/controlplane/posture"
)

// autoApproval asks the API server who is approved unseen, and lists the
// bindings that make it so, of which its answer names only the first.
func autoApproval(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	approvals, err := posture.Ask(ctx, c.Client.AuthorizationV1().SubjectAccessReviews())
	if err != nil {
		return nil, err
	}
	if len(approvals) == 0 {
		return well("kube-controller-manager approves no node's request by itself"), nil
	}
	bindings, err := c.Client.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return judgeApprovals(approvals, nil, nil), fmt.Errorf("list all bindings, of which only the first are named: %w", err)
	}
	roles, err := c.Client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return judgeApprovals(approvals, nil, nil), fmt.Errorf("list cluster roles, so only the first binding of each right is named: %w", err)
	}
	return judgeApprovals(approvals, bindings.Items, roles.Items), nil
}

// judgeApprovals returns a finding for each binding that gives one of the
// rights, and one for each right that no binding explains.
func judgeApprovals(approvals []posture.Approval, bindings []rbacv1.ClusterRoleBinding, roles []rbacv1.ClusterRole) []Finding {
	var out []Finding
	explained := make([]bool, len(approvals))
	for _, b := range bindings {
		var by []posture.Approval
		for i, a := range approvals {
			if len(offending(b, a)) > 0 && gives(b, a.Right, roles) {
				explained[i] = true
				by = append(by, a)
			}
		}
		if len(by) > 0 {
			out = append(out, unseen(by, "ClusterRoleBinding "+b.Name, mendBinding(b, by)))
		}
	}
	for i, a := range approvals {
		if !explained[i] {
			out = append(out, unseen([]posture.Approval{a}, a.Reason, a.Mend()))
		}
	}
	return out
}

func unseen(by []posture.Approval, what, mend string) Finding {
	f := Finding{Level: Warning, Mend: mend}
	var who, why []string
	for _, a := range by {
		if a.Unsafe() {
			f.Level = Unsafe
		}
		who = append(who, a.Requester.Name+" ("+a.Right+")")
		if w := "who has it " + a.Worth(); !slices.Contains(why, w) {
			why = append(why, w)
		}
	}
	f.Found = what + " lets kube-controller-manager approve by itself: " + strings.Join(who, ", ")
	f.Why = strings.Join(why, "; ")
	return f
}

// offending returns the indices of b's subjects that give a its right.
func offending(b rbacv1.ClusterRoleBinding, a posture.Approval) []int {
	var out []int
	for i, s := range b.Subjects {
		group := s.Kind == rbacv1.GroupKind && slices.Contains(a.Requester.Groups, s.Name)
		if group || s.Kind == rbacv1.UserKind && s.Name == a.Requester.User {
			out = append(out, i)
		}
	}
	return out
}

// gives says whether the role of b gives right.
func gives(b rbacv1.ClusterRoleBinding, right string, roles []rbacv1.ClusterRole) bool {
	wanted := []rbacv1.PolicyRule{{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests/" + right}, Verbs: []string{"create"}}}
	for _, r := range roles {
		if r.Name == b.RoleRef.Name {
			covered, _ := validation.Covers(r.Rules, wanted)
			return covered
		}
	}
	return false
}

// mendBinding deletes a binding that does nothing else, and takes the subjects
// out of one that has others. The patch tests each before it removes it, from
// the last to the first, so that it never takes another.
func mendBinding(b rbacv1.ClusterRoleBinding, by []posture.Approval) string {
	var all []int
	for _, a := range by {
		all = append(all, offending(b, a)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == len(b.Subjects) && b.Labels["kubernetes.io/bootstrapping"] == "" {
		return "kubectl delete clusterrolebinding " + b.Name
	}
	slices.Reverse(all)
	var steps []string
	for _, i := range all {
		steps = append(steps, fmt.Sprintf(`{"op":"test","path":"/subjects/%d/name","value":%q},{"op":"remove","path":"/subjects/%d"}`, i, b.Subjects[i].Name, i))
	}
	return fmt.Sprintf("kubectl patch clusterrolebinding %s --type=json -p '[%s]'", b.Name, strings.Join(steps, ","))
}
