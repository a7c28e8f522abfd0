package csr

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/kube"
)

// Run judges requests until ctx ends; an Approver runs once. It is driven by
// watches: a request is looked at when it appears, and again, with growing
// pauses, while it is held.
func (a *Approver) Run(ctx context.Context) error {
	defer a.queue.ShutDown()
	stop, err := a.store.FollowNodes(ctx, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.nodeNoted(o, false); a.nodeSeen(nil, o) },
		UpdateFunc: func(before, o any) { a.nodeNoted(o, false); a.nodeSeen(before, o) },
		DeleteFunc: func(o any) { a.nodeNoted(o, true) },
	})
	if err != nil {
		return fmt.Errorf("follow nodes: %w", err)
	}
	defer stop()
	var watched []informers.SharedInformerFactory
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
	for _, part := range []func(context.Context) error{a.judging().Run, a.runLooks, a.runSweeps} {
		running.Go(func() { _ = part(ctx) }) // each ends with ctx
	}
	running.Wait()
	return ctx.Err()
}

// judging is the service that judges requests and admits Nodes.
func (a *Approver) judging() drive.Keys[item] {
	return drive.Keys[item]{
		Name: "csr", Queue: a.queue, Work: a.process, Workers: workers, Timeout: timeout, Meter: a.meter, Done: a.alive, Log: a.log,
	}
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

// slim keeps of a request what the handlers read: it is read again to be judged.
func slim(obj any) (any, error) {
	if c, ok := obj.(*certificatesv1.CertificateSigningRequest); ok {
		return sight(c), nil
	}
	return obj, nil
}

// requestSeen is told of requests for a signer; an API server in memory, as tests
// have it, knows no field selectors. It asks no one anything: a request whose claim
// no instance can make good costs what is kept of it.
func (a *Approver) requestSeen(signer string, o any) {
	s, ok := o.(*sighting)
	if !ok || s.signer != signer {
		return
	}
	a.noteIssued(s)
	if !a.judges(s.kind) {
		a.forget(s.Name)
		return
	}
	w := waiting{name: s.Name, requester: s.requester, uid: s.UID, created: s.CreationTimestamp.Time}
	if s.asked {
		w.due = time.Now().Add(askedFor)
	}
	k := a.lane(s)
	if a.lanes.put(k, w) {
		a.queue.Add(item{lane: k})
	} else {
		a.wantLook()
	}
	a.swept.Now()
}

func (a *Approver) requestGone(o any) {
	if last, missed := o.(cache.DeletedFinalStateUnknown); missed {
		o = last.Obj
	}
	if s, ok := o.(*sighting); ok {
		a.forget(s.Name)
		a.dropIssued(s.Name)
	}
}

// nodeNoted keeps the names of the Nodes that came from an approved join and are
// Ready: their instances have nothing to ask for.
func (a *Approver) nodeNoted(o any, gone bool) {
	if last, missed := o.(cache.DeletedFinalStateUnknown); missed {
		o = last.Obj
	}
	if n, ok := o.(*corev1.Node); ok {
		a.noteNode(n.Name, kube.KubeletReady(n) && admitted(n) && !gone)
	}
}

// nodeSeen notes the moment in which a Node becomes Ready, while its launch can
// still be granted certificates.
func (a *Approver) nodeSeen(before, now any) {
	n, ok := now.(*corev1.Node)
	if !ok || !kube.KubeletReady(n) || admitted(n) {
		return
	}
	// The Node of an instance that was stopped and started is older than its
	// launch; the transition is by the node's own clock, which may be wrong.
	recent := func(t metav1.Time) bool { return time.Since(t.Time) <= a.policy.LaunchWindow+heldTooLong+awaitJoin }
	if !recent(n.CreationTimestamp) && !recent(kube.Condition(n, corev1.NodeReady).LastTransitionTime) {
		return
	}
	if old, ok := before.(*corev1.Node); ok && kube.KubeletReady(old) && old.UID == n.UID && old.Spec.ProviderID == n.Spec.ProviderID &&
		slices.Equal(old.Status.Addresses, n.Status.Addresses) {
		return
	}
	a.queue.Add(item{joined: n.Name})
}
