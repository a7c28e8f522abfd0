package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Zones are the zones of every workload.
var Zones = []string{"us-west-2a", "us-west-2b", "us-west-2c"}

// room is how many nodes a group may grow by: more than any plan asks for.
const room = 100_000

// Shape is one kind of machine.
type Shape struct {
	Type string
	// CPU is in thousandths of a core, Memory in MiB.
	CPU, Memory int64
	// ReservedCPU and ReservedMemory are what the kubelet keeps for itself.
	ReservedCPU, ReservedMemory int64
	// Price is in US dollars an hour.
	Price float64
}

// MaxPods is how many pods a machine takes, whatever its shape.
const MaxPods = 110

// EightCores is the machine of most workloads.
var EightCores = Shape{Type: "c6i.2xlarge", CPU: 8000, Memory: 16 * 1024, ReservedCPU: 100, ReservedMemory: 10, Price: 0.34}

// FourShapes are the machines in the workloads that Cluster Autoscaler was
// measured on. It takes all of a machine as allocatable.
var FourShapes = []Shape{
	{Type: "m6i.xlarge", CPU: 4000, Memory: 16 * 1024, Price: 0.192},
	{Type: "m6i.2xlarge", CPU: 8000, Memory: 32 * 1024, Price: 0.384},
	{Type: "m6i.4xlarge", CPU: 16000, Memory: 64 * 1024, Price: 0.768},
	{Type: "r6i.2xlarge", CPU: 8000, Memory: 64 * 1024, Price: 0.504},
}

func (s Shape) template(group string) *cluster.Template {
	return &cluster.Template{
		Labels:      map[string]string{"joinery.dev/group": group, corev1.LabelInstanceTypeStable: s.Type},
		Capacity:    list(s.CPU, s.Memory, MaxPods),
		Allocatable: list(s.CPU-s.ReservedCPU, s.Memory-s.ReservedMemory, MaxPods),
	}
}

// list makes a resource list; without pods when there are none.
func list(cpu, memory, pods int64) corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(memory<<20, resource.BinarySI),
	}
	if pods > 0 {
		out[corev1.ResourcePods] = *resource.NewQuantity(pods, resource.DecimalSI)
	}
	return out
}

// groups makes the groups without instances.
func (s Spec) groups() []cluster.Group {
	out := make([]cluster.Group, s.Groups)
	for i := range out {
		shape := s.Shapes[i%len(s.Shapes)]
		zone := Zones[i/len(s.Shapes)%len(Zones)]
		name := fmt.Sprintf("asg-%03d-%s", i, zone[len(zone)-1:])
		out[i] = cluster.Group{
			Name: name, Max: room, Zones: []string{zone}, Template: shape.template(name), Price: shape.Price,
			InstanceType: shape.Type, InstanceTypes: []string{shape.Type},
		}
	}
	return out
}
