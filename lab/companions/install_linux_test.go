package companions_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
)

const (
	// programs is where the control-plane node has the companions' programs, which their
	// pods mount: an import of 180 MB into containerd would take longer than the rest.
	programs = "/opt/companions"
	// The virtual addresses of the two Services that the API server calls, and where
	// their pods listen: there is no kube-proxy, so the lab redirects each to one port
	// of the control-plane node (site.Options.Services).
	metricsService, webhookService = "10.96.0.20", "10.96.0.21"
	metricsPort, webhookPort       = "4443", "8443"
	master                         = "10.99.0.11"
	webhookName                    = "vpa-webhook"
)

// companion is a Deployment of one of the projects' manifests, and what the lab has it
// run.
type companion struct {
	manifest, program string
	port              int32
	args              []string
}

// companions have the shortest intervals that they take, so that a test can wait for
// them. Kubelets' serving certificates are verified: the cluster's CA signed them, since
// the agent has kubelets ask for that and the approver judges what they ask for. The
// control-plane node's is its own, as kubeadm has it, so it is left out.
var companions = []companion{
	{"deployment.yaml", "metrics-server", 4443, []string{
		"--secure-port=" + metricsPort, "--metric-resolution=10s", "--kubelet-request-timeout=5s",
		"--kubelet-certificate-authority=" + clusterCA, "--node-selector=!" + kube.ControlPlaneLabel,
	}},
	{"recommender-deployment.yaml", "recommender", 8942, []string{"--recommender-interval=10s"}},
	{"updater-deployment.yaml", "updater", 8943, []string{"--updater-interval=10s"}},
	{"admission-controller-deployment.yaml", "admission-controller", 8944, []string{"--port=" + webhookPort, "--address=:8944"}},
}

// clusterCA is where a pod has the CA of the cluster.
const clusterCA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

// install puts the companions' programs onto the control-plane node and applies the
// projects' own manifests.
func (s *scene) install() error {
	set := labtest.Companions(s.t)
	files := map[string]image.File{}
	for _, c := range companions {
		files[programs+"/"+c.program] = image.File{Source: set.Path(c.program), Mode: 0o755}
	}
	if err := image.WriteFiles(s.Cluster.Master().Path("/"), files); err != nil {
		return err
	}
	objects, err := manifests(set)
	if err != nil {
		return err
	}
	secret, err := webhookCertificate()
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": append(objects, secret)})
	if err != nil {
		return err
	}
	_, err = s.Cluster.Kubectl(s.t.Context(), text, "apply", "--server-side", "-f", "-")
	return err
}

// manifests returns all objects of the projects' manifests as the lab needs them.
func manifests(set binaries.Set) (objects []any, err error) {
	for _, name := range []string{"vpa-v1-crd-gen.yaml", "vpa-rbac.yaml", "rbac.yaml", "apiservice.yaml"} {
		all, err := read(set, name)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			objects = append(objects, o)
		}
	}
	for name, at := range map[string]string{"service.yaml": metricsService, "admission-controller-service.yaml": webhookService} {
		o, err := service(set, name, at)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	for _, c := range companions {
		d, err := c.deployment(set)
		if err != nil {
			return nil, err
		}
		objects = append(objects, d)
	}
	return objects, nil
}

// read returns the objects of one manifest.
func read(set binaries.Set, name string) (objects []*unstructured.Unstructured, err error) {
	text, err := os.ReadFile(set.Path(name))
	if err != nil {
		return nil, err
	}
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		switch err := d.Decode(o); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", name, err)
		case len(o.Object) > 0:
			objects = append(objects, o)
		}
	}
}

// one decodes the only object of a manifest.
func one(set binaries.Set, name string, into any) error {
	all, err := read(set, name)
	if err != nil {
		return err
	}
	if len(all) != 1 {
		return fmt.Errorf("read %s: %d objects: expected one", name, len(all))
	}
	text, err := json.Marshal(all[0])
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// service gives a Service the address that the lab redirects.
func service(set binaries.Set, name, at string) (*corev1.Service, error) {
	var s corev1.Service
	if err := one(set, name, &s); err != nil {
		return nil, err
	}
	s.Spec.ClusterIP = at
	if s.Spec.Selector == nil { // kustomize sets metrics-server's
		s.Spec.Selector = map[string]string{appLabel: s.Name}
	}
	return &s, nil
}

// appLabel is the label that metrics-server's kustomization adds.
const appLabel = "k8s-app"

// deployment is the project's own, on the control-plane node and in its network, of the
// program that the lab built.
func (c companion) deployment(set binaries.Set) (*appsv1.Deployment, error) {
	var d appsv1.Deployment
	if err := one(set, c.manifest, &d); err != nil {
		return nil, err
	}
	if d.Spec.Selector == nil { // as above
		labels := map[string]string{appLabel: d.Name}
		d.Spec.Selector, d.Spec.Template.Labels = &metav1.LabelSelector{MatchLabels: labels}, labels
	}
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType} // a port of the node has one owner
	pod := &d.Spec.Template.Spec
	pod.HostNetwork, pod.NodeSelector = true, map[string]string{kube.ControlPlaneLabel: ""}
	pod.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "programs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: programs}}})
	k := &pod.Containers[0]
	k.Image, k.ImagePullPolicy = image.Pause, corev1.PullNever
	k.Command, k.Args = []string{programs + "/" + c.program}, append(k.Args, c.args...)
	k.VolumeMounts = append(k.VolumeMounts, corev1.VolumeMount{Name: "programs", MountPath: programs, ReadOnly: true})
	k.Resources = corev1.ResourceRequirements{} // the control-plane node has 2 CPUs for everything
	k.ReadinessProbe.InitialDelaySeconds, k.ReadinessProbe.PeriodSeconds = 1, 1
	k.Ports = k.Ports[len(k.Ports)-1:] // the one that is probed
	k.Ports[0].ContainerPort = c.port
	return &d, nil
}
