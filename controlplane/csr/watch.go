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
	nodes := informers.NewSharedInformerFactoryWithOptions(a.client, 0, informers.WithTransform(slim))
	if _, err := nodes.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.nodeSeen(nil, o) },
		UpdateFunc: a.nodeSeen,
	}); err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	watched := []informers.SharedInformerFactory{nodes}
	for _, signer := range []string{certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName} {
		requests, err := a.watchRequests(signer)
		if err != nil {
			return err
		}
		watched = append(watched, requests)
	}
	for _, w := range watched {
		w.Start(ctx.Done())
		defer w.Shutdown()
	}
	// What was issued before is known by then.
	for _, w := range watched {
		w.WaitForCacheSync(ctx.Done())
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for a.process(ctx) {
			}
		})
	}
	running.Go(func() { a.showAlive(ctx) })
	<-ctx.Done()
	a.queue.ShutDown()
	running.Wait()
	return ctx.Err()
}

func (a *Approver) watchRequests(signer string) (informers.SharedInformerFactory, error) {
	f := informers.NewSharedInformerFactoryWithOptions(a.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.signerName", signer).String()
	}), informers.WithTransform(slim))
	_, err := f.Certificates().V1().CertificateSigningRequests().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.requestSeen(signer, o) },
		UpdateFunc: func(_, o any) { a.requestSeen(signer, o) },
		DeleteFunc: a.requestGone,
	})
	if err != nil {
		return nil, fmt.Errorf("watch signing requests: %w", err)
	}
	return f, nil
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

// requestSeen is told of requests for a signer; an API server in memory, as tests
// have it, knows no field selectors.
func (a *Approver) requestSeen(signer string, o any) {
	c, ok := o.(*certificatesv1.CertificateSigningRequest)
	if !ok || c.Spec.SignerName != signer {
		return
	}
	a.noteIssued(c)
	if a.judges(KindOf(c)) {
		a.queue.Add(item{request: c.Name})
	}
}

func (a *Approver) requestGone(o any) {
	if last, missed := o.(cache.DeletedFinalStateUnknown); missed {
		o = last.Obj
	}
	if c, ok := o.(*certificatesv1.CertificateSigningRequest); ok {
		a.forget(c.Name)
		a.dropIssued(c.Name)
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
		a.queue.Add(item{joined: id, node: n.Name})
	}
}
