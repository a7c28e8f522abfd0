// Package image makes what lab machines boot from: an operating system base
// (debootstrap, cached), the files that a node image of it needs on top to boot in
// the lab, and container images written by hand, so that no registry is ever asked
// for anything. The node image between the two is made by lab/bakery.
package image
