package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// runner is a kube-scheduler of the default configuration over an API server that
// is a list in memory.
type runner struct {
	client *fake.Clientset
	pods   corelisters.PodLister
	stop   context.CancelFunc
	done   chan struct{}
}

// start starts a scheduler over the nodes and pods.
func start(ctx context.Context, nodes []*corev1.Node, pods []*corev1.Pod) (*runner, error) {
	objects := []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}}
	for _, n := range nodes {
		objects = append(objects, n.DeepCopy())
	}
	for _, p := range pods {
		objects = append(objects, p.DeepCopy())
	}
	ctx, stop := context.WithCancel(ctx)
	r := &runner{client: fake.NewClientset(objects...), stop: stop, done: make(chan struct{})}
	r.client.PrependReactor("create", "pods", r.bind)
	factory := informers.NewSharedInformerFactory(r.client, 0)
	r.pods = factory.Core().V1().Pods().Lister()
	recorder := profile.NewRecorderFactory(events.NewBroadcaster(&events.EventSinkImpl{Interface: r.client.EventsV1()}))
	sched, err := scheduler.New(ctx, r.client, factory, nil, recorder)
	if err != nil {
		stop()
		return nil, fmt.Errorf("make scheduler: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if err := sched.WaitForHandlersSync(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("start scheduler: %w", err)
	}
	go func() {
		defer close(r.done)
		sched.Run(ctx)
	}()
	return r, nil
}

// bind does what the API server does with a pod's binding.
func (r *runner) bind(a clienttesting.Action) (bool, runtime.Object, error) {
	create, ok := a.(clienttesting.CreateAction)
	if !ok || a.GetSubresource() != "binding" {
		return false, nil, nil
	}
	binding, ok := create.GetObject().(*corev1.Binding)
	if !ok {
		return false, nil, nil
	}
	pods := a.GetResource()
	obj, err := r.client.Tracker().Get(pods, a.GetNamespace(), binding.Name)
	if err != nil {
		return true, nil, err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return true, nil, errors.New("a pod is something else")
	}
	pod = pod.DeepCopy()
	pod.Spec.NodeName = binding.Target.Name
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
	return true, binding, r.client.Tracker().Update(pods, pod, pod.Namespace)
}

// addNode lets one more node join.
func (r *runner) addNode(n *corev1.Node) error { return r.client.Tracker().Add(n.DeepCopy()) }

// settle waits until the scheduler has bound or refused every pod and has not
// bound any for a while, and gives all pods as they stand.
func (r *runner) settle(ctx context.Context, calm time.Duration) ([]*corev1.Pod, error) {
	bound, since := -1, time.Now()
	tick := time.NewTicker(calm / 10)
	defer tick.Stop()
	for {
		pods, err := r.pods.List(labels.Everything())
		if err != nil {
			return nil, fmt.Errorf("list pods: %w", err)
		}
		now, open := count(pods)
		if now != bound || open > 0 {
			bound, since = now, time.Now()
		}
		if time.Since(since) >= calm {
			return pods, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// count tells how many pods are bound, and how many the scheduler has yet to try.
func count(pods []*corev1.Pod) (bound, open int) {
	for _, p := range pods {
		switch {
		case p.Spec.NodeName != "":
			bound++
		case !refused(p):
			open++
		}
	}
	return bound, open
}

func refused(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return true
		}
	}
	return false
}

func (r *runner) close() {
	r.stop()
	<-r.done
}
