package soak_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/soak/invariant"
)

// peopleFaults are what people do, by mistake or on purpose.
var peopleFaults = []fault{
	{"Node deleted", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		return nil, k.Cluster.Client().CoreV1().Nodes().Delete(k.ctx, i.PrivateDNSName, metav1.DeleteOptions{})
	}},
	{"Node cordoned", func(k *stroke) (lift, error) {
		return k.patchNode(`{"spec":{"unschedulable":true}}`, `{"spec":{"unschedulable":null}}`)
	}},
	{"Node's labels removed", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		back := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, groupLabel, i.Group)
		return k.unlessNoNode(i.ID, func(ctx context.Context) error { return k.patch(ctx, i.PrivateDNSName, back) }),
			k.patch(k.ctx, i.PrivateDNSName, fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, groupLabel))
	}},
	{"desired capacity raised by hand", desired(func(least, most, now int) int { return min(now+1, most) })},
	{"desired capacity lowered by hand", desired(func(least, most, now int) int { return least })},
	{"maximum lowered", func(k *stroke) (lift, error) { return k.sizes(plain, 1, 2) }},
	{"minimum raised", func(k *stroke) (lift, error) { return k.sizes(plain, 2, 4) }},
	{"hook deleted", func(k *stroke) (lift, error) {
		name := "joinery-terminate"
		_, err := k.autoscaling().DeleteLifecycleHook(k.ctx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String(warm), LifecycleHookName: &name})
		return func(ctx context.Context) error { return k.putHook(ctx, name) }, err
	}},
	{"Launch suspended", suspend("Launch")},
	{"Terminate suspended", suspend("Terminate")},
	{"AZRebalance suspended", suspend("AZRebalance")},
	{"protection removed", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		defer k.spare(i.ID)
		_, err = k.autoscaling().SetInstanceProtection(k.ctx, &autoscaling.SetInstanceProtectionInput{
			AutoScalingGroupName: &i.Group, InstanceIds: []string{i.ID}, ProtectedFromScaleIn: aws.Bool(false)})
		return nil, err
	}},
	{"bundle overwritten", func(k *stroke) (lift, error) {
		_, err := k.ssm().PutParameter(k.ctx, &ssm.PutParameterInput{
			Name: aws.String(v1alpha1.ParameterName(clusterName)), Value: aws.String("not a bundle"), Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
		return nil, err
	}},
	{"bundle deleted", func(k *stroke) (lift, error) {
		_, err := k.ssm().DeleteParameter(k.ctx, &ssm.DeleteParameterInput{Name: aws.String(v1alpha1.ParameterName(clusterName))})
		return nil, err
	}},
	{"token's Secret deleted", func(k *stroke) (lift, error) {
		b, err := k.Published(k.ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNobody, err)
		}
		return nil, k.Cluster.Client().CoreV1().Secrets(metav1.NamespaceSystem).Delete(k.ctx, kube.BootstrapTokenSecretName(b.TokenID()), metav1.DeleteOptions{})
	}},
	{"bad NodeConfig", func(k *stroke) (lift, error) {
		k.putTemplate(plain, []byte("spec: [not, a, NodeConfig"))
		return func(context.Context) error {
			data, err := userData(plain)
			if err == nil {
				k.putTemplate(plain, data)
			}
			return err
		}, nil
	}},
	{"signing requests of a stranger", strangers},
	{"another autoscaler", rival},
	{"a pod that fits nowhere", func(k *stroke) (lift, error) {
		p := pod("giant", plain, "64")
		p.Labels = map[string]string{invariant.Impossible: "true"}
		_, err := k.pods().Create(k.ctx, p, metav1.CreateOptions{})
		return k.removePod(p.Name), err
	}},
}

func (k *stroke) patch(ctx context.Context, node, change string) error {
	_, err := k.Cluster.Client().CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(change), metav1.PatchOptions{})
	return err
}

func (k *stroke) patchNode(change, back string) (lift, error) {
	i, _, err := k.worker()
	if err != nil {
		return nil, err
	}
	return k.unlessNoNode(i.ID, func(ctx context.Context) error { return k.patch(ctx, i.PrivateDNSName, back) }), k.patch(k.ctx, i.PrivateDNSName, change)
}

// unlessNoNode undoes what was done to a Node that is still there, and lets its
// instance be picked again.
func (k *stroke) unlessNoNode(id string, undo lift) lift {
	return func(ctx context.Context) error {
		defer k.spare(id)
		return absent(undo(ctx))
	}
}

// desired sets a group's desired capacity as an operator does.
func desired(choose func(least, most, now int) int) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		name := groups[k.random.IntN(len(groups))].Name
		g, err := k.World.Group(name)
		if err != nil {
			return nil, err
		}
		n := choose(g.Min, g.Max, g.Desired)
		k.on = fmt.Sprintf("%s from %d to %d", name, g.Desired, n)
		_, err = k.autoscaling().SetDesiredCapacity(k.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &name, DesiredCapacity: aws.Int32(int32(n))})
		return nil, err
	}
}

// sizes gives a group other bounds for a time.
func (k *stroke) sizes(group string, least, most int32) (lift, error) {
	g, err := k.World.Group(group)
	if err != nil {
		return nil, err
	}
	set := func(ctx context.Context, least, most int32) error {
		_, err := k.autoscaling().UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &group, MinSize: &least, MaxSize: &most})
		return err
	}
	return func(ctx context.Context) error { return set(ctx, int32(g.Min), int32(g.Max)) }, set(k.ctx, least, most)
}

func suspend(process string) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		name := groups[k.random.IntN(len(groups))].Name
		k.on = name
		_, err := k.autoscaling().SuspendProcesses(k.ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &name, ScalingProcesses: []string{process}})
		return func(ctx context.Context) error {
			_, err := k.autoscaling().ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: &name, ScalingProcesses: []string{process}})
			return err
		}, err
	}
}

// rival has another autoscaler hold its Lease for a time.
func rival(k *stroke) (lift, error) {
	leases := k.Cluster.Client().CoordinationV1().Leases(metav1.NamespaceSystem)
	now := metav1.NowMicro()
	_, err := leases.Create(k.ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-autoscaler"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: aws.String("rival"), LeaseDurationSeconds: aws.Int32(int32(k.step.Hold/time.Second) + 15),
			AcquireTime: &now, RenewTime: &now},
	}, metav1.CreateOptions{})
	return func(ctx context.Context) error {
		return absent(leases.Delete(ctx, "cluster-autoscaler", metav1.DeleteOptions{}))
	}, err
}

// pod is one that nothing brings back.
func pod(name, group, cpu string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault}, Spec: template(group, cpu).Spec}
}
