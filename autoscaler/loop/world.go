package loop

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	nodelisters "k8s.io/client-go/listers/node/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/observe"
)

// slowSync is after how long a list that does not come is complained about.
const slowSync = 30 * time.Second

// world is the cluster as the informers know it.
type world struct {
	// store has the Nodes and Pods, which other services look at too; factory has
	// what plans alone look at.
	store   *observe.Store
	factory informers.SharedInformerFactory
	stops   []func() // of following the store
	// cache follows pods and nodes, so that a snapshot adds up nothing anew.
	cache      *cluster.Cache
	pods       corelisters.PodLister
	nodes      corelisters.NodeLister
	daemons    appslisters.DaemonSetLister
	budgets    policylisters.PodDisruptionBudgetLister
	namespaces corelisters.NamespaceLister
	ranges     corelisters.LimitRangeLister
	runtimes   nodelisters.RuntimeClassLister
	volumes    volumeListers
	changes    *changes
	owners     *owners
}

// volumeListers list where volumes can be attached, and how many.
type volumeListers struct {
	claims      corelisters.PersistentVolumeClaimLister
	volumes     corelisters.PersistentVolumeLister
	classes     storagelisters.StorageClassLister
	csi         storagelisters.CSINodeLister
	attachments storagelisters.VolumeAttachmentLister
	drivers     storagelisters.CSIDriverLister
	capacities  storagelisters.CSIStorageCapacityLister
}

func newWorld(kube kubernetes.Interface, store *observe.Store) *world {
	f := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(observe.Slim))
	return &world{
		store:      store,
		factory:    f,
		cache:      cluster.NewCache(),
		changes:    newChanges(),
		owners:     newOwners(),
		pods:       store.Pods(),
		nodes:      store.Nodes(),
		daemons:    f.Apps().V1().DaemonSets().Lister(),
		budgets:    f.Policy().V1().PodDisruptionBudgets().Lister(),
		namespaces: f.Core().V1().Namespaces().Lister(),
		ranges:     f.Core().V1().LimitRanges().Lister(),
		runtimes:   f.Node().V1().RuntimeClasses().Lister(),
		volumes: volumeListers{
			claims:      f.Core().V1().PersistentVolumeClaims().Lister(),
			volumes:     f.Core().V1().PersistentVolumes().Lister(),
			classes:     f.Storage().V1().StorageClasses().Lister(),
			csi:         f.Storage().V1().CSINodes().Lister(),
			attachments: f.Storage().V1().VolumeAttachments().Lister(),
			drivers:     f.Storage().V1().CSIDrivers().Lister(),
			capacities:  f.Storage().V1().CSIStorageCapacities().Lister(),
		},
	}
}

// start begins to observe and returns once everything has been listed and the
// cache has seen it.
func (w *world) start(ctx context.Context, p *pending, wake *waker, log *slog.Logger) error {
	for _, informer := range []cache.SharedIndexInformer{
		w.factory.Storage().V1().CSINodes().Informer(), w.factory.Storage().V1().VolumeAttachments().Informer(),
	} {
		if _, err := informer.AddEventHandler(w.changes.volumes()); err != nil {
			return fmt.Errorf("follow volumes of nodes: %w", err)
		}
	}
	if err := w.owners.follow(w.factory); err != nil {
		return err
	}
	w.factory.StartWithContext(ctx)
	late := time.AfterFunc(slowSync, func() {
		log.Warn("waiting for lists of nodes and pods from the API server (is the controller allowed to list and watch them?)")
	})
	defer late.Stop()
	for _, follow := range []func() (func(), error){
		func() (func(), error) { return w.store.FollowPods(ctx, w.podHandler(p, wake)) },
		func() (func(), error) { return w.store.FollowNodes(ctx, w.nodeHandler(wake)) },
	} {
		stop, err := follow()
		if err != nil {
			return err
		}
		w.stops = append(w.stops, stop)
	}
	return w.sync(ctx, log)
}

// sync waits for what plans alone look at.
func (w *world) sync(ctx context.Context, log *slog.Logger) error {
	for {
		inTime, cancel := context.WithTimeout(ctx, slowSync)
		missing := []string{}
		for kind, ok := range w.factory.WaitForCacheSync(inTime.Done()) {
			if !ok {
				missing = append(missing, kind.String())
			}
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(missing) == 0 {
			// A plan before that would take controllers for missing.
			cache.WaitForCacheSync(ctx.Done(), w.owners.synced...)
			return ctx.Err()
		}
		slices.Sort(missing)
		log.Warn("waiting for lists from the API server (is the controller allowed to list and watch them?)", "kinds", missing)
	}
}

func (w *world) stop() {
	for _, stop := range w.stops {
		stop()
	}
	w.factory.Shutdown()
}

func (w *world) podHandler(p *pending, wake *waker) cache.ResourceEventHandler {
	look := func(old, obj any) {
		pod, ok := obj.(*corev1.Pod)
		if !ok {
			return
		}
		before, _ := old.(*corev1.Pod)
		w.changes.pod(before, pod, time.Now())
		w.cache.SetPod(pod)
		if p.saw(pod, time.Now()) {
			wake.podPending()
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { look(nil, obj) },
		UpdateFunc: look,
		DeleteFunc: func(obj any) {
			if pod, ok := observe.Deleted(obj).(*corev1.Pod); ok {
				w.changes.pod(pod, nil, time.Now())
				w.cache.DeletePod(cluster.Key(pod))
				p.gone(pod.UID)
				wake.nodeChanged()
			}
		},
	}
}

func (w *world) nodeHandler(wake *waker) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if node, ok := obj.(*corev1.Node); ok {
				w.changes.node(nil, node, time.Now())
				w.cache.SetNode(node)
			}
			wake.nodeChanged()
		},
		UpdateFunc: func(before, after any) {
			old, ok := before.(*corev1.Node)
			node, ok2 := after.(*corev1.Node)
			if !ok || !ok2 {
				return
			}
			w.changes.node(old, node, time.Now())
			w.cache.SetNode(node)
			if matters(old, node) {
				wake.nodeChanged()
			}
		},
		DeleteFunc: func(obj any) {
			if node, ok := observe.Deleted(obj).(*corev1.Node); ok {
				w.cache.DeleteNode(node.Name)
			}
			wake.nodeChanged()
		},
	}
}

// matters tells a change that a plan may follow from a heartbeat.
func matters(old, node *corev1.Node) bool {
	said := func(n *corev1.Node, kind corev1.NodeConditionType) (corev1.ConditionStatus, string) {
		if c := kube.Condition(n, kind); c != nil {
			return c.Status, c.Reason
		}
		return "", ""
	}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, v1alpha1.ScaleDownReady} {
		was, why := said(old, kind)
		if is, reason := said(node, kind); is != was || reason != why {
			return true
		}
	}
	sameTaint := func(a, b corev1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value }
	return old.Spec.Unschedulable != node.Spec.Unschedulable || !slices.EqualFunc(old.Spec.Taints, node.Spec.Taints, sameTaint)
}

// input lists what a snapshot needs besides the cache.
func (w *world) input(now time.Time) (cluster.Input, error) {
	in := cluster.Input{Now: now}
	var err error
	if in.Nodes, err = w.nodes.List(labels.Everything()); err != nil {
		return in, fmt.Errorf("list nodes: %w", err)
	}
	if in.DaemonSets, err = w.daemons.List(labels.Everything()); err != nil {
		return in, fmt.Errorf("list daemon sets: %w", err)
	}
	if in.PodDisruptionBudgets, err = w.budgets.List(labels.Everything()); err != nil {
		return in, fmt.Errorf("list disruption budgets: %w", err)
	}
	if in.Namespaces, err = w.namespaces.List(labels.Everything()); err != nil {
		return in, fmt.Errorf("list namespaces: %w", err)
	}
	if in.LimitRanges, err = w.ranges.List(labels.Everything()); err != nil {
		return in, fmt.Errorf("list limit ranges: %w", err)
	}
	if in.RuntimeClasses, err = w.runtimes.List(labels.Everything()); err != nil {
		return in, fmt.Errorf("list runtime classes: %w", err)
	}
	return in, w.volumes.fill(&in)
}

// fill lists what concerns volumes.
func (l volumeListers) fill(in *cluster.Input) (err error) {
	if in.PersistentVolumeClaims, err = l.claims.List(labels.Everything()); err != nil {
		return fmt.Errorf("list volume claims: %w", err)
	}
	if in.PersistentVolumes, err = l.volumes.List(labels.Everything()); err != nil {
		return fmt.Errorf("list volumes: %w", err)
	}
	if in.StorageClasses, err = l.classes.List(labels.Everything()); err != nil {
		return fmt.Errorf("list storage classes: %w", err)
	}
	if in.CSINodes, err = l.csi.List(labels.Everything()); err != nil {
		return fmt.Errorf("list CSI nodes: %w", err)
	}
	if in.VolumeAttachments, err = l.attachments.List(labels.Everything()); err != nil {
		return fmt.Errorf("list volume attachments: %w", err)
	}
	if in.CSIDrivers, err = l.drivers.List(labels.Everything()); err != nil {
		return fmt.Errorf("list CSI drivers: %w", err)
	}
	if in.CSIStorageCapacities, err = l.capacities.List(labels.Everything()); err != nil {
		return fmt.Errorf("list CSI storage capacities: %w", err)
	}
	return nil
}
