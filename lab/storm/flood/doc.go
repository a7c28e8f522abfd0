// Package flood is somebody who holds a live bootstrap token and sends false signing
// requests with it, many a second.
package flood
