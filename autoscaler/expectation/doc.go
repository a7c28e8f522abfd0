// Package expectation keeps account of what the autoscaler bought nodes for, and of
// what came of it. It does no I/O.
//
// A raise of a group is a set of promises, one for each node: in this zone, for these
// pods. Each is judged once by what is observed:
//
//   - true: the node came and took pods, or its pods no longer wait;
//   - late: it came after it had been given up;
//   - short: it came and stayed empty while its pods still wait, or it came in another
//     zone than the one that its pods need;
//   - never: AWS launched nothing, the instance became no Ready node in time, or it
//     ended before.
//
// What failed brakes the next purchase, with its cause as a sentence:
//
//   - a pod is held while the node that was bought for it has not been judged: it buys
//     no second one meanwhile;
//   - a place (a group, or one zone of it) pauses for 5 to 30 minutes, and is then tried
//     with one node until one has come;
//   - pods that are alike do not buy the same kind of node again that came and did not
//     help them, and pause altogether when several purchases were in vain.
//
// So the instances that are launched for a pod that never runs are few, whatever the
// world does. The account is a value that can be written down (State) and goes on with
// the next leader.
package expectation
