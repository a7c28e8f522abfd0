// Package attack holds no code: its tests attack a real cluster, with a real API
// server and real kubelets, as somebody would who holds a live bootstrap token, the
// credentials of an instance, or a node's certificate.
package attack
