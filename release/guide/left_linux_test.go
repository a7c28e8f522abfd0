package guide_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/machine"
)

// named lists all objects of the API server whose name has to do with Joinery, and what
// Nodes say of it. Events and requests for certificates are not among them: Kubernetes
// removes both within the hour. Nor are the two kinds that kubectl warns of.
const named = `kubectl api-resources --verbs=list --output=name | grep -vE '^(events|certificatesigningrequests|componentstatuses|endpoints$)' |
  paste -sd, | xargs -I{} kubectl get {} --all-namespaces --ignore-not-found --output=name | grep -iE 'joinery|joinr' || true
kubectl get nodes --output=yaml | grep -iE 'joinery|ToBeDeleted|unschedulable' || true`

// files lists what is on a disk but for logs, what systemd and dpkg know of any unit and
// package, and what the lab itself put there.
const files = `find / -xdev \( -path /proc -o -path /sys -o -path /var/log -o -path /var/lib/systemd -o -path /etc/lab -o -name '*.service.d' \) -prune -o \( -iname '*joinery*' -o -path '/etc/joinery/*' \) -print
grep -i joinery /etc/passwd /etc/group /var/lib/dpkg/status || true
systemctl list-units --all --plain --no-legend 'joinery*'`

// nothingLeft holds what the guide's last chapter promises.
func (s *scene) nothingLeft() {
	s.t.Helper()
	s.nothing("the cluster", s.admin, named, "")
	for _, m := range s.Cluster.Masters() {
		s.nothing(m.NodeName, m.Machine, files, s.before)
	}
	node, err := s.node()
	s.must(err)
	s.nothing("the node", node, files, s.before)
	for _, g := range s.World.Groups() {
		for _, tag := range g.Tags {
			s.t.Errorf("group %s has the tag %s", g.Name, tag.Key)
		}
		for _, m := range g.Members {
			if m.Protected {
				s.t.Errorf("instance %s of group %s is protected", m.InstanceID, g.Name)
			}
		}
	}
	for _, i := range s.World.Instances() {
		for _, key := range slices.Sorted(maps.Keys(i.Tags)) {
			if i.State != "terminated" && strings.Contains(key, "joinery") {
				s.t.Errorf("instance %s has the tag %s", i.ID, key)
			}
		}
	}
	s.nothing("AWS", s.admin, `aws ssm describe-parameters --query 'Parameters[].Name' --output text
aws autoscaling describe-lifecycle-hooks --auto-scaling-group-name $CLUSTER-workers --query 'LifecycleHooks[].LifecycleHookName' --output text
aws iam list-role-policies --role-name $CONTROL_PLANE_ROLE --query PolicyNames --output text
aws iam list-role-policies --role-name $CLUSTER-node --query PolicyNames --output text`, "")
}

// nothing has a script find nothing but lines that were there before.
func (s *scene) nothing(where string, m *machine.Machine, script, before string) {
	s.t.Helper()
	out, err := at(m).Run(s.t.Context(), script)
	known := strings.Split(before, "\n")
	left := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), "\n"), func(line string) bool { return line == "" || slices.Contains(known, line) })
	if err != nil || len(left) > 0 {
		s.t.Errorf("left in %s:\n%s\n%v", where, strings.Join(left, "\n"), err)
	}
}
