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
	}), informers.WithTransform(slim))
	nodes := informers.NewSharedInformerFactoryWithOptions(a.client, 0, informers.WithTransform(slim))
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

// slim keeps of an object what the handlers read: requests are read again to be
// judged, and all Nodes of a large cluster would take much memory.
func slim(obj any) (any, error) {
	switch o := obj.(type) {
	case *certificatesv1.CertificateSigningRequest:
		o.ManagedFields, o.Spec.Request = nil, nil
	case *corev1.Node:
		out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion, CreationTimestamp: o.CreationTimestamp}}
		out.Spec.ProviderID = o.Spec.ProviderID
		if c := readiness(o); c != nil {
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime}}
		}
		return out, nil
	}
	return obj, nil
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
	if !ok || !ready(n) {
		return
	}
	// The Node of an instance that was stopped and started is older than its
	// launch; the transition is by the node's own clock, which may be wrong.
	recent := func(t metav1.Time) bool { return time.Since(t.Time) <= a.policy.LaunchWindow+heldTooLong }
	if !recent(n.CreationTimestamp) && !recent(readiness(n).LastTransitionTime) {
		return
	}
	if old, ok := before.(*corev1.Node); ok && ready(old) {
		return
	}
	if id, ok := instances.FromProviderID(n.Spec.ProviderID); ok {
		a.queue.Add(item{joined: id})
	}
}
