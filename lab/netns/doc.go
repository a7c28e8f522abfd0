// Package netns makes named network namespaces and does things inside of them:
// run a function or a command, dial, listen. The lab's traffic lives in such
// namespaces only; none of them has a way out. It works on Linux, as root.
package netns
