// Package check is the test suite of an image: what a root file system must hold,
// and what it must not, for an instance to become a node. Each check has one
// sentence that tells an operator what is wrong and what instances would suffer.
//
// The checks read a file system and run nothing, so that they judge a directory, a
// mounted volume and, through a Listing, a machine that runs. They know nothing of
// how the image was made but for its Record.
package check
