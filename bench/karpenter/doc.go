// Package karpenter lets the scheduler of Karpenter plan a workload, as its
// provisioner does, and gives the plan in the terms of autoscaler/cluster.
//
// A group is a NodePool of one instance type with one offering in the group's
// zone. What Karpenter's informers keep up to date (nodes with their pods) is
// set up before the clock runs; copying it, the topology, the scheduler and its
// solution are timed.
package karpenter
