// Package vpc is the lab's private network: one namespace with a bridge that
// routes between instances and their pods, one namespace per instance, and one
// more per instance that answers at 169.254.169.254 for that instance alone.
// No namespace has a leg into the host's own, and none has a route out.
package vpc
