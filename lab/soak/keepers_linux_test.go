package soak_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/machine"
)

// settling is how long a hold must have been there before it has to be kept: what was
// decided before it was seen may still happen.
const settling = 15 * time.Second

// keepers hold a node. It must stay for as long as they do.
var keepers = []fault{
	{"hold file", keeper("a hold file", holdFile)},
	{"hold file, then kubelet and agent stopped", keeper("a hold file", func(k *stroke, i awssim.Instance, m *machine.Machine) (lift, error) {
		release, err := holdFile(k, i, m)
		if err != nil {
			return release, err
		}
		sleep(k.ctx, settling) // the agent tells the hold
		start := on(m, "systemctl", "start", "--no-block", kubelet, agent)
		return func(ctx context.Context) error {
			if err := start(ctx); err != nil {
				return err
			}
			return release(ctx)
		}, k.exec(m, "systemctl", "stop", kubelet, agent)
	})},
	{"scale-down disabled by annotation", keeper("its annotation", func(k *stroke, i awssim.Instance, _ *machine.Machine) (lift, error) {
		set := func(value string) string {
			return fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, kube.ScaleDownDisabledAnnotation, value)
		}
		return func(ctx context.Context) error { return absent(k.patch(ctx, i.PrivateDNSName, set("null"))) }, k.patch(k.ctx, i.PrivateDNSName, set(`"true"`))
	})},
	{"pod without an owner", keeper("a bare pod", podThatStays(func(*corev1.Pod) {}))},
	{"pod that must not be evicted", keeper("a pod that is not safe to evict", podThatStays(func(p *corev1.Pod) {
		p.Annotations = map[string]string{kube.SafeToEvictAnnotation: "false"}
	}))},
	{"pod that must not be disrupted", keeper("a pod that must not be disrupted", podThatStays(func(p *corev1.Pod) {
		p.Annotations = map[string]string{kube.DoNotDisruptAnnotation: "true"}
	}))},
	{"budget that blocks", keeper("a budget", func(k *stroke, i awssim.Instance, m *machine.Machine) (lift, error) {
		// An owner of its own is not needed: that the pod may be evicted is said by the annotation.
		remove, err := podThatStays(func(p *corev1.Pod) {
			p.Annotations = map[string]string{kube.SafeToEvictAnnotation: "true"}
			p.Labels = map[string]string{"app": "blocked"}
		})(k, i, m)
		if err != nil {
			return remove, err
		}
		budgets, one := k.Cluster.Client().PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault), intstr.FromInt32(1)
		_, err = budgets.Create(k.ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "blocked"}, Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "blocked"}}}}, metav1.CreateOptions{})
		return func(ctx context.Context) error {
			if err := absent(budgets.Delete(ctx, "blocked", metav1.DeleteOptions{})); err != nil {
				return err
			}
			return remove(ctx)
		}, err
	})},
}

// keeper holds a worker by what hold does, and has that be kept.
func keeper(why string, hold func(*stroke, awssim.Instance, *machine.Machine) (lift, error)) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		i, m, err := k.worker(plain)
		if err != nil {
			return nil, err
		}
		release, err := hold(k, i, m)
		if err != nil {
			return release, fmt.Errorf("hold %s: %w", i.ID, err)
		}
		sleep(k.ctx, settling)
		if n, err := k.Cluster.Client().CoreV1().Nodes().Get(k.ctx, i.PrivateDNSName, metav1.GetOptions{}); err == nil && !kube.Leaving(n) {
			k.keep(i.ID, why)
		} else {
			k.on += ", which was on its way out"
		}
		return func(ctx context.Context) error {
			k.keep(i.ID, "")
			defer k.spare(i.ID)
			if m.State() != machine.Running {
				return nil
			}
			return release(ctx)
		}, nil
	}
}

func holdFile(k *stroke, _ awssim.Instance, m *machine.Machine) (lift, error) {
	const file = "/run/joinery/hold.d/soak"
	return on(m, "rm", "-f", file), k.exec(m, "sh", "-c", "mkdir -p /run/joinery/hold.d && touch "+file)
}

// podThatStays runs a pod on the node of an instance.
func podThatStays(change func(*corev1.Pod)) func(*stroke, awssim.Instance, *machine.Machine) (lift, error) {
	return func(k *stroke, i awssim.Instance, _ *machine.Machine) (lift, error) {
		p := pod("stays-"+strings.TrimPrefix(i.ID, "i-"), plain, "100m")
		p.Spec.NodeName = i.PrivateDNSName
		change(p)
		_, err := k.pods().Create(k.ctx, p, metav1.CreateOptions{})
		return k.removePod(p.Name), err
	}
}

func (s *scene) pods() typedcorev1.PodInterface {
	return s.Cluster.Client().CoreV1().Pods(metav1.NamespaceDefault)
}

func (k *stroke) removePod(name string) lift {
	return func(ctx context.Context) error { return absent(k.pods().Delete(ctx, name, metav1.DeleteOptions{})) }
}

// absent takes what is gone for removed.
func absent(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
