package csr

import (
	"context"
	"fmt"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/controlplane/instances"
)

// Run judges requests until ctx ends; an Approver runs once. It is driven by
// watches: a request is looked at when it appears, and again, with growing
// pauses, while it is held.
func (a *Approver) Run(ctx context.Context) error {
	requests := informers.NewSharedInformerFactoryWithOptions(a.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeAPIServerClientKubeletSignerName).String()
	}))
	nodes := informers.NewSharedInformerFactory(a.client, 0)
	if _, err := requests.Certificates().V1().CertificateSigningRequests().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    a.requestSeen,
		UpdateFunc: func(_, o any) { a.requestSeen(o) },
	}); err != nil {
		return fmt.Errorf("watch signing requests: %w", err)
	}
	if _, err := nodes.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.nodeSeen(nil, o) },
		UpdateFunc: a.nodeSeen,
	}); err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	requests.Start(ctx.Done())
	nodes.Start(ctx.Done())
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for a.process(ctx) {
			}
		})
	}
	<-ctx.Done()
	a.queue.ShutDown()
	running.Wait()
	requests.Shutdown()
	nodes.Shutdown()
	return ctx.Err()
}

func (a *Approver) requestSeen(o any) {
	if c, ok := o.(*certificatesv1.CertificateSigningRequest); ok && Ours(c) {
		a.queue.Add(item{request: c.Name})
	}
}

// nodeSeen notes the moment in which a Node becomes Ready, while its launch can
// still be granted certificates.
func (a *Approver) nodeSeen(before, now any) {
	n, ok := now.(*corev1.Node)
	if !ok || !ready(n) || time.Since(n.CreationTimestamp.Time) > a.policy.LaunchWindow+heldTooLong {
		return
	}
	if old, ok := before.(*corev1.Node); ok && ready(old) {
		return
	}
	if id, ok := instances.FromProviderID(n.Spec.ProviderID); ok {
		a.queue.Add(item{joined: id})
	}
}
