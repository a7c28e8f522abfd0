// Package bake turns a stock Debian or Ubuntu machine into a Joinery node image.
//
// Options say what the image holds; Options.Problems checks them all at once. New
// is pure: from options, a system and what was read of the operator's own files it
// makes a Plan, a list of steps with the reason of each. Baker executes a plan on a
// Machine, which takes two operations, so that packer's communicator and a machine
// of the lab both are one.
//
// Nothing enters an image unverified. Packages come from repositories whose index
// is signed by a pinned key. Archives have a checksum in the options or in a sums
// file that a pinned key has signed. Archives are fetched and verified on the
// operator's side, before the machine is changed, and once more after the upload.
package bake
