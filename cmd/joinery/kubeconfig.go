package main

import (
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/joinery/joinery/internal/version"
)

// kubeconfig says which API server to talk to, and as whom.
type kubeconfig struct {
	path, context string
}

// connect returns a client, found as kubectl finds its own: the flag, then
// $KUBECONFIG, then ~/.kube/config, then the service account of a pod.
func (k *kubeconfig) connect() (kubernetes.Interface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.path
	rest, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: k.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w", err)
	}
	rest.UserAgent = "joinery/" + version.Version()
	rest.QPS, rest.Burst = 50, 100 // the doctor asks everything at once
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w", err)
	}
	return client, nil
}
