// Package act carries out the plans of packages scaleup and scaledown.
//
// A plan is a wish made from a picture that may be seconds old. Executor looks
// at the world again before each write, and takes back what it began when the
// world has changed: a node that cannot be drained is untainted and
// uncordoned.
//
// The taint ToBeDeletedByClusterAutoscaler on a Node is the durable mark of a
// removal under way. A controller that finds the mark on a node which it is not
// removing itself takes it off (TakeBack): its predecessor died in between, and
// the next plan decides again, with the unneeded-since label still there.
package act
