// Package apiserver connects the controller to the API server: as whom, for how
// long yet, and with which share of the requests that it may make.
package apiserver

import (
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Clients are clients of one API server over the same connections. Each has a
// limiter of its own, so that none spends what another needs: whatever the
// services or those who look at the pages do, the Lease is renewed.
type Clients struct {
	// Work is for the services.
	Work kubernetes.Interface
	// Lease is for the election and for confirming that this process leads.
	Lease kubernetes.Interface
	// Probe is for the probes, and for who may read the pages.
	Probe kubernetes.Interface
	// Certificate is that of all of them.
	Certificate Certificate
}

// budget is a share of requests a second, and at once.
type budget struct {
	qps   float32
	burst int
}

// The budgets. A hundred nodes that boot at once ask for a hundred decisions at
// once. The election takes two requests a second, and each Confirm two more. The
// probes look once in five seconds; what asks beyond that who may read the pages
// waits.
var (
	workBudget  = budget{100, 200}
	leaseBudget = budget{50, 100}
	probeBudget = budget{5, 10}
)

// load reads a kubeconfig. clientcmd refuses one whose certificate is not there;
// it is put aside meanwhile.
func load(file string) (*rest.Config, error) {
	raw, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	if err := clientcmd.ResolveLocalPaths(raw); err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	var certFile, keyFile string
	if c, ok := raw.Contexts[raw.CurrentContext]; ok && raw.AuthInfos[c.AuthInfo] != nil {
		user := raw.AuthInfos[c.AuthInfo]
		certFile, keyFile = user.ClientCertificate, user.ClientKey
		user.ClientCertificate, user.ClientKey = "", ""
	}
	config, err := clientcmd.NewDefaultClientConfig(*raw, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", file, err)
	}
	if len(config.CertData) == 0 {
		config.CertFile, config.KeyFile = certFile, keyFile
	}
	return config, nil
}

// CertificateOf returns the certificate of a kubeconfig, which may be missing.
func CertificateOf(kubeconfig string) (Certificate, error) {
	config, err := load(kubeconfig)
	if err != nil {
		return Certificate{}, err
	}
	return Certificate{file: config.CertFile, data: config.CertData}, nil
}

// Connect returns clients by a kubeconfig. It asks the API server nothing. A
// certificate in a file of its own must be there at first. From then on it is read
// again when it changes: while it is missing, new connections fail, and when it is
// there again they work.
func Connect(kubeconfig, userAgent string) (*Clients, error) {
	config, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = userAgent
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	c := &Clients{Certificate: Certificate{file: config.CertFile, data: config.CertData}}
	for client, b := range map[*kubernetes.Interface]budget{&c.Work: workBudget, &c.Lease: leaseBudget, &c.Probe: probeBudget} {
		own := rest.CopyConfig(config)
		own.QPS, own.Burst = b.qps, b.burst
		if *client, err = kubernetes.NewForConfigAndClient(own, shared); err != nil {
			return nil, fmt.Errorf("make client: %w", err)
		}
	}
	return c, nil
}
