// Package demo plays the whole story on a real cluster on this machine: an
// instance boots and joins, pods arrive, the group grows, the token is rotated
// meanwhile, the pods go, the nodes go. Every step is observed from outside, at
// the API server and at the simulated AWS, and the run is good only if every
// step was.
package demo
