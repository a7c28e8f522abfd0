// Package account is an AWS account that nothing runs in yet: a simulated AWS whose
// instances are machines of the lab, and the image that the distribution publishes, to
// build further images from. What runs in it reaches AWS and the machines through the
// lab's network, which has no way out.
package account
