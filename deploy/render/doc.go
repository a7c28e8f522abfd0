// Command render renders what goes into the cluster in each of the three ways that an
// operator may choose: plain files, kustomize, Helm. Its tests hold the three to each
// other, and the queries of alerts and dashboard to the metrics that there are.
//
// The sources are deploy/rbac, deploy/alerts/joinery.yaml and the panels in this package.
// What the chart and Grafana need in another form is generated from them:
//
//	go test . -update
//
// The sources are outside of this module, where Go's cache of test results does not look:
// after a change of theirs, go test -count=1.
//
// It is a module of its own, for Helm, kustomize and Prometheus's parser are nothing that
// a program of Joinery's needs.
package main
