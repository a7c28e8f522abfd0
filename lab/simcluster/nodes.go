package simcluster

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

// NodeOf is the Ready Node that an honest instance makes of itself, with what Linux and
// the kubelet leave of its memory.
func NodeOf(in awssim.Instance) *corev1.Node {
	have := corev1.ResourceList{
		"cpu": *resource.NewQuantity(int64(in.VCPUs), resource.DecimalSI), "memory": *resource.NewQuantity(int64(in.MemoryMiB-200)<<20, resource.BinarySI),
		"pods": resource.MustParse("110"),
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: in.PrivateDNSName, UID: types.UID(in.ID), Labels: map[string]string{corev1.LabelHostname: in.PrivateDNSName},
	}}
	n.Spec.ProviderID = kube.ProviderID(in.Zone, in.ID)
	n.Status = corev1.NodeStatus{
		Capacity: have, Allocatable: have.DeepCopy(), Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: in.PrivateIP}},
	}
	return n
}

// Listed returns the Nodes as the API server has them now.
func (c *Cluster) Listed() ([]*corev1.Node, error) {
	list, err := c.Client.CoreV1().Nodes().List(c.T.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []*corev1.Node
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, nil
}

// Node reads a Node.
func (c *Cluster) Node(name string) *corev1.Node {
	c.T.Helper()
	n, err := c.Client.CoreV1().Nodes().Get(c.T.Context(), name, metav1.GetOptions{})
	c.OK(err)
	return n
}

// AddNode makes a Node and returns its name. Its UID follows from its name.
func (c *Cluster) AddNode(n *corev1.Node) string {
	c.T.Helper()
	n.UID = types.UID("uid-" + n.Name)
	_, err := c.Client.CoreV1().Nodes().Create(c.T.Context(), n, metav1.CreateOptions{})
	c.OK(err)
	return n.Name
}

// ChangeNode changes a Node as another client does.
func (c *Cluster) ChangeNode(name string, change func(*corev1.Node)) {
	c.T.Helper()
	n := c.Node(name)
	change(n)
	_, err := c.Client.CoreV1().Nodes().Update(c.T.Context(), n, metav1.UpdateOptions{})
	c.OK(err)
}

// Start runs a service until stop is called, which returns why it ended, every time.
func (c *Cluster) Start(run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(c.T.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}
