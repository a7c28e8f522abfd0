package demo

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/userdata"
)

// controllerConfig is the demo's /etc/joinery/controller.yaml: the defaults,
// with waiting times that a person can watch.
func controllerConfig(configure func(*v1alpha1.ControllerSpec)) ([]byte, error) {
	c := v1alpha1.ControllerConfig{
		TypeMeta: v1alpha1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindControllerConfig},
		Spec: v1alpha1.ControllerSpec{
			Cluster: Cluster, Endpoint: cluster.Endpoint(masterIP),
			Bundle:   v1alpha1.BundleSettings{KMSKeyID: keyAlias},
			Approver: v1alpha1.ApproverSettings{NodeRoles: []string{NodeRole}},
			// Counted from the start: on the hour, a run across it would see one
			// rotation more.
			Token: v1alpha1.TokenSettings{Schedule: "@every 1h", Overlap: metav1.Duration{Duration: time.Minute}},
			Autoscaler: v1alpha1.AutoscalerSettings{ScaleDown: v1alpha1.ScaleDownSettings{
				IdleDelay: metav1.Duration{Duration: 10 * time.Second},
			}},
		},
	}
	if configure != nil {
		configure(&c.Spec)
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write controller configuration: %w", err)
	}
	if _, err := v1alpha1.DecodeControllerConfig(data); err != nil {
		return nil, fmt.Errorf("check controller configuration: %w", err)
	}
	return data, nil
}

// workerData is the user data of the workers.
func workerData() ([]byte, error) {
	c, err := v1alpha1.NodeConfigFor(Cluster)
	if err != nil {
		return nil, err
	}
	c.Spec.Labels = map[string]string{"joinery.dev/pool": "workers"}
	if machine.CgroupV1() {
		c.Spec.Kubeadm.IgnorePreflightErrors = []string{"SystemVerification"}
	}
	return userdata.Render(c)
}
