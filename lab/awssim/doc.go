// Package awssim is one simulated AWS account and region: SSM parameters, KMS,
// STS, EC2, AutoScaling, SQS and the instance metadata service, all answered from
// one instance table and spoken in the real wire protocols, so that production
// code runs against it through the unmodified aws-sdk-go-v2.
//
// The zero World is ready to use:
//
//	var w awssim.World
//	t.Cleanup(w.Close)
//	client := ssm.NewFromConfig(w.Config("joinery-controller"))
//
// Requests are checked as AWS checks them: they must be signed with credentials
// that this world issued, the policies of the caller's role must allow them
// (AttachPolicy; a role without any may do everything), a parameter that the simulation does not know is an
// error and never ignored, and an unknown action is the service's own error.
//
// The zero World is kind: what is asked for has happened and is seen when the
// answer comes. World.Harsh, or JOINERY_HARSH=1, makes it do all that AWS does at
// its worst (Weather); World.Settle makes what a test has prepared be seen at once.
//
// # Locking
//
// World.mu guards everything that a World holds. Each API call runs under it
// from start to end, so calls are atomic and their effects ordered as in
// World.Calls; one that waits for a message lets go of the lock while it does.
// The lock is never held while a Hypervisor runs, while an injected
// latency passes, or while an answer is written. Functions whose name ends in
// Locked need the lock. All waiting is done by timers made with
// time.AfterFunc, so a World that is used in process (World.Transport,
// World.Config) works in a testing/synctest bubble.
package awssim
