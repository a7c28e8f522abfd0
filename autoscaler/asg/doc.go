// Package asg observes and changes Auto Scaling Groups.
//
// Client finds the groups of one cluster by their tags, keeps what AWS said
// for a short while, knows what a new node of each group would look like, and
// makes the only two kinds of writes that Joinery makes to a group's size:
// desired capacity goes up, and a named instance is terminated together with
// its place in the desired capacity. There is no way down but by name, because
// an absolute write downwards lets AWS choose the victim.
//
// A problem of one group (no launch template, malformed user data, unknown
// instance type) is that group's TemplateError and stops no other group.
package asg
