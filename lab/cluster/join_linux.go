package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
)

const (
	joinConf = "/etc/kubernetes/lab-join.yaml"
	// discoveryConf is a kubeconfig without credentials: endpoint and CA.
	discoveryConf = "/etc/kubernetes/lab-discovery.conf"
	// certsSecret is where kubeadm leaves the control plane's private keys for
	// masters that join, encrypted.
	certsSecret = "kubeadm-certs"
	// cleanUpTime bounds the removal of what let a master join.
	cleanUpTime = 15 * time.Second
)

// ErrNoBalancer says that a cluster has no endpoint that masters can share.
var ErrNoBalancer = errors.New("the cluster was made without a load balancer")

// JoinMaster makes the machine one more master, with kubeadm join
// --control-plane. It returns when kubeadm found the new control plane healthy
// and its etcd a voting member. What let the machine in, a bootstrap token and
// the certificates in kubeadm-certs, is removed again, whatever the outcome. One
// master joins at a time.
func (c *Cluster) JoinMaster(ctx context.Context, m Master) error {
	if c.o.Targets == nil {
		return fmt.Errorf("join master %s: %w", m.NodeName, ErrNoBalancer)
	}
	err := c.run(ctx,
		step{"master boots", func(ctx context.Context) error { return boot(ctx, m) }},
		step{"master imports images", func(ctx context.Context) error { return c.importImages(ctx, m) }},
		step{"kubeadm join --control-plane", func(ctx context.Context) error { return c.kubeadmJoin(ctx, m) }},
	)
	if err != nil {
		return fmt.Errorf("join master %s: %w", m.NodeName, err)
	}
	c.masters = append(c.masters, m)
	return nil
}

func (c *Cluster) kubeadmJoin(ctx context.Context, m Master) (err error) {
	defer func() {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		err = errors.Join(err, c.withdrawCerts(removing))
	}()
	key, err := c.uploadCerts(ctx)
	if err != nil {
		return err
	}
	token, err := createToken(ctx, c.o.Master.Machine)
	if err != nil {
		return err
	}
	defer func() {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		id, _, _ := strings.Cut(token.Reveal(), ".")
		err = errors.Join(err, deleteSecret(removing, c.client, "bootstrap-token-"+id))
	}()
	if err := c.prepareJoin(m, admission{Token: token, CertificateKey: key}); err != nil {
		return err
	}
	c.register(m)
	approving, joined := context.WithCancel(ctx)
	approved := make(chan error, 1)
	go func() { approved <- c.approveMaster(approving, token, m.NodeName) }()
	err = execAll(ctx, m.Machine, [][]string{
		{"hostnamectl", "set-hostname", m.NodeName},
		{"kubeadm", "join", "--config", joinConf},
		{"systemctl", "enable", "--quiet", "kubelet.service"},
	})
	joined()
	if not := <-approved; err != nil {
		err = errors.Join(err, not) // it may be why
	}
	return errors.Join(err, os.Remove(m.Machine.Path(joinConf)), os.Remove(m.Machine.Path(discoveryConf)))
}

// prepareJoin puts onto the machine what kubeadm join reads.
func (c *Cluster) prepareJoin(m Master, a admission) error {
	text, err := c.description(m).renderJoin(a)
	if err != nil {
		return err
	}
	discovery := clientcmdapi.NewConfig()
	discovery.Clusters[""] = &clientcmdapi.Cluster{Server: c.config.Host, CertificateAuthorityData: c.config.CAData}
	file, err := clientcmd.Write(*discovery)
	if err != nil {
		return fmt.Errorf("write discovery kubeconfig: %w", err)
	}
	return c.configure(m, map[string]image.File{joinConf: {Data: text, Mode: 0o600}, discoveryConf: {Data: file, Mode: 0o600}})
}

// certificateKey is a line of kubeadm's output that can be nothing else.
var certificateKey = regexp.MustCompile(`(?m)^[0-9a-f]{64}$`)

// uploadCerts has the first master put the control plane's certificates into the
// cluster and returns the key that they are encrypted with.
func (c *Cluster) uploadCerts(ctx context.Context) (v1alpha1.Secret, error) {
	out, err := c.o.Master.Machine.Exec(ctx, "kubeadm", "init", "phase", "upload-certs", "--upload-certs", "--config", kubeadmConf)
	if err != nil {
		return "", err
	}
	key := certificateKey.Find(out)
	if key == nil {
		return "", errors.New("upload certificates: kubeadm did not say the key")
	}
	return v1alpha1.Secret(key), nil
}

// withdrawCerts removes what uploadCerts left, and the token that kubeadm lets
// it end with.
func (c *Cluster) withdrawCerts(ctx context.Context) error {
	certs, err := c.client.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, certsSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("withdraw certificates: %w", err)
	}
	errs := []error{deleteSecret(ctx, c.client, certsSecret)}
	for _, owner := range certs.OwnerReferences {
		errs = append(errs, deleteSecret(ctx, c.client, owner.Name))
	}
	return errors.Join(errs...)
}

// createToken makes a bootstrap token of kubeadm's default group, which alone
// may read kubeadm-certs. It signs nothing, as discovery is by file.
func createToken(ctx context.Context, m *machine.Machine) (v1alpha1.Secret, error) {
	out, err := m.Exec(ctx, "kubeadm", "token", "create", "--ttl", "10m", "--usages", "authentication", "--description", "lets a master join")
	if err != nil {
		return "", err
	}
	return v1alpha1.Secret(strings.TrimSpace(string(out))), nil
}

// deleteSecret deletes a Secret of kube-system; one that is gone is no error.
func deleteSecret(ctx context.Context, client kubernetes.Interface, name string) error {
	err := client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete secret: %w", err)
	}
	return nil
}
