// Package companions holds no code: its tests run Joinery beside the programs that
// change how many pods there are and how large: metrics-server, the Horizontal Pod
// Autoscaler of kube-controller-manager, and the Vertical Pod Autoscaler. Load makes a
// Deployment grow, the group grows for it, and shrinks when the load has ended.
package companions
