package bundle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/clientcmd"
)

// Where a cluster says what it is: kubeadm publishes the first and reads it at
// each join with a token; the controller manager keeps the second in every
// namespace, for pods.
const (
	infoName  = "cluster-info"
	infoKey   = "kubeconfig"
	rootName  = "kube-root-ca.crt"
	rootKey   = "ca.crt"
	httpsPort = "443"
)

// ErrNoEndpoint says that nobody told where nodes find the API server.
var ErrNoEndpoint = errors.New("kube-public/cluster-info does not exist and spec.endpoint is empty: expected the endpoint of the API server in one of them")

// configMap is the part of client-go's ConfigMapInterface that Source uses.
type configMap interface {
	Get(context.Context, string, metav1.GetOptions) (*corev1.ConfigMap, error)
}

type versioner interface {
	ServerVersionWithContext(context.Context) (*version.Info, error)
}

// Source reads the facts of a cluster anew each time, so that a new CA, another
// endpoint or an upgraded control plane is noticed.
type Source struct {
	// Name of the cluster.
	Name string
	// Endpoint as configured; that of kube-public/cluster-info when empty.
	Endpoint string
	// CAFile holds the cluster's CA in PEM, as this master has it.
	CAFile string
	// Public and System are the ConfigMaps of kube-public and kube-system.
	Public, System configMap
	// Version asks the API server for its version.
	Version versioner
	// Now is the clock by which CA certificates expire; time.Now when nil.
	Now func() time.Time
}

// Cluster returns the facts as they are now. The CA is every certificate that
// this master's file, cluster-info or kube-root-ca.crt holds: while a CA is
// being rotated nodes are to trust the old and the new one.
func (s Source) Cluster(ctx context.Context) (Cluster, error) {
	var pool authorities
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		return Cluster{}, fmt.Errorf("read cluster CA: %w", err)
	}
	if err := pool.add(text); err != nil {
		return Cluster{}, fmt.Errorf("read cluster CA %s: %w", s.CAFile, err)
	}
	endpoint, err := s.info(ctx, &pool)
	if err != nil {
		return Cluster{}, err
	}
	if err := s.root(ctx, &pool); err != nil {
		return Cluster{}, err
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	ca, err := pool.pem(now())
	if err != nil {
		return Cluster{}, fmt.Errorf("collect cluster CA: %w", err)
	}
	v, err := s.Version.ServerVersionWithContext(ctx)
	if err != nil {
		return Cluster{}, fmt.Errorf("ask for kubernetes version: %w", err)
	}
	return Cluster{Name: s.Name, Endpoint: endpoint, CACert: ca, KubernetesVersion: v.GitVersion}, nil
}

// info adds the CA of cluster-info and returns the endpoint: the configured one
// before that of cluster-info.
func (s Source) info(ctx context.Context, pool *authorities) (string, error) {
	cm, err := s.Public.Get(ctx, infoName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if s.Endpoint == "" {
			return "", ErrNoEndpoint
		}
		return s.Endpoint, nil
	}
	if err != nil {
		return "", fmt.Errorf("read cluster-info: %w", err)
	}
	server, ca, err := parseInfo(cm.Data[infoKey])
	if err != nil {
		return "", fmt.Errorf("read cluster-info: %w", err)
	}
	if err := pool.add(ca); err != nil {
		return "", fmt.Errorf("read cluster-info: certificate-authority-data: %w", err)
	}
	if s.Endpoint != "" {
		return s.Endpoint, nil
	}
	endpoint, err := hostPort(server)
	if err != nil {
		return "", fmt.Errorf("read cluster-info: server: %w", err)
	}
	return endpoint, nil
}

// parseInfo reads the one cluster of the kubeconfig, whose name is empty.
func parseInfo(text string) (server string, ca []byte, err error) {
	config, err := clientcmd.Load([]byte(text))
	if err != nil {
		return "", nil, fmt.Errorf("parse kubeconfig: %w", err)
	}
	if len(config.Clusters) != 1 {
		return "", nil, fmt.Errorf("the kubeconfig has %d clusters: expected 1", len(config.Clusters))
	}
	for _, c := range config.Clusters {
		server, ca = c.Server, c.CertificateAuthorityData
	}
	return server, ca, nil
}

func hostPort(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return "", fmt.Errorf("%q: expected https://host:port", server)
	}
	port := u.Port()
	if port == "" {
		port = httpsPort
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// root adds the CA that pods are given. Without it there is one witness less.
func (s Source) root(ctx context.Context, pool *authorities) error {
	cm, err := s.System.Get(ctx, rootName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", rootName, err)
	}
	if err := pool.add([]byte(cm.Data[rootKey])); err != nil {
		return fmt.Errorf("read %s: %w", rootName, err)
	}
	return nil
}
