// Package masters holds the tests of a control plane of three masters with
// joinery-controller on each, on real machines: leaders that are killed, stopped,
// cut off and rebooted. All tests share one cluster.
package masters
