// Package soak holds the storm: half an hour of faults of every kind on a real
// cluster of three control-plane nodes and three groups, chosen by a seed, with
// invariants that are looked at throughout from the API server, the simulated AWS and
// the machines. Afterwards the cluster has to come back to its minimum by itself.
//
// What is pure has packages of its own, which are tested everywhere: plan says when
// which fault is done, invariant what may never be seen.
package soak
