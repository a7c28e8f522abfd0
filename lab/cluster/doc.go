// Package cluster makes a Kubernetes control plane on a lab machine the way
// operators make theirs: kubeadm init with static pods for etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler. It can put joinery-controller onto
// it, gives tests and people a way in, and lets the simulated AWS launch further
// machines (see Hypervisor). Nothing here joins a node: that is the agent's work.
//
// Three things are the lab's and nobody's example: etcd does not wait for the
// disk (unsafe-no-fsync), kubeadm's "addon" phase is left out because iptables
// rules stand for kube-proxy and /etc/hosts for DNS, and cgroup v1 is accepted
// where the computer has no other.
package cluster
