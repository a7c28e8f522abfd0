// Package kube is the vocabulary for Kubernetes objects: every predicate on a Pod
// or a Node, and every name of a taint, label or annotation, that more than one
// package needs. A meaning has one name here and one place; the rule test
// TestVocabulary in the root package refuses the literals elsewhere.
//
// The predicates do no I/O, change nothing and allocate nothing unless they return
// something new. What a Node says about itself is a claim: package binding decides
// which instance it is.
package kube
