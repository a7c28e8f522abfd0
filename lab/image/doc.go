// Package image makes what lab machines boot from: an operating system base
// (debootstrap, cached), a layer with the programs, units and settings of the
// lab's "AMI" on top of it, and container images written by hand, so that no
// registry is ever asked for anything.
package image
