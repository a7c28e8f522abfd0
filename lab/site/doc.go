// Package site is one whole simulated installation: the simulated AWS, the
// machines, one or several masters made with kubeadm, and joinery-controller on
// each. The demo tells its story on one, and tests of the control plane use it.
package site
