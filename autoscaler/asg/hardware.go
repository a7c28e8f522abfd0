package asg

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// nvidiaGPU is the resource that NVIDIA's device plugin reports.
const nvidiaGPU = corev1.ResourceName("nvidia.com/gpu")

// fillHardware asks what EC2 says about the types that the group's instances have. A
// type that EC2 did not tell about is left out; an error there is logged only.
func (c *Client) fillHardware(ctx context.Context, g *cluster.Group) {
	g.Hardware = map[string]cluster.Amounts{}
	for _, i := range g.Instances {
		if _, done := g.Hardware[i.Type]; done || i.Type == "" {
			continue
		}
		f, err := c.types.get(ctx, i.Type)
		if err != nil {
			c.o.Log.Warn("look up the type of an instance", "group", g.Name, "instance", i.ID, "error", err)
			continue
		}
		g.Hardware[i.Type] = cluster.Amounts{
			MilliCPU: 1000 * f.VCPUs, Memory: f.MemoryMiB * mebi,
			Scalar: []cluster.Scalar{{Name: nvidiaGPU, Value: f.NvidiaGPUs}},
		}
	}
}
