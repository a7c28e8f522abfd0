package asg

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// plausible is the least share of what the template says that one node alone is
// believed to have, of cpu, memory, pods and storage. The template knows what EC2
// says about the type and what the NodeConfig reserves; what it cannot know stays
// well above half on all but the smallest types:
//   - firmware and kernel take up to 7.5 % of the memory (see memoryOverhead);
//   - a kubelet configured by the image reserves, by the formula of Amazon's own
//     images, 255 MiB and 11 MiB for each pod, 36 % of a node of 4 GiB with 110 pods
//     (awslabs/amazon-eks-ami, kube-reserved), and by Google's 25 % of the first
//     4 GiB and less of the rest (GKE, "Plan node sizes");
//   - one thread for each core instead of two (EC2 User Guide, "CPU options") leaves
//     half of the vCPUs.
const plausible = 0.5

// leastAttach is the fewest volumes of a driver that one node alone is believed to
// take: half of the 28 attachments of most types (EC2 User Guide, "Amazon EBS volume
// limits"). Too large a limit costs nothing but a second round: the nodes that it
// brings tell the right one.
const leastAttach = 14

// band is what one node alone is believed to report of a resource.
type band struct{ least, most int64 }

// bandOf returns the band of a resource, in units of amount:
//   - cpu, memory, pods and ephemeral storage: from the share plausible of the
//     template's amount on, cpu and memory up to what EC2 says that the type has;
//   - any other resource of the template, such as EC2's GPUs or what a tag of the
//     group names: exactly the template's;
//   - a resource that the template does not name: any.
func bandOf(name corev1.ResourceName, template corev1.ResourceList, facts TypeFacts) band {
	q, named := template[name]
	said := amount(name, q)
	b := band{int64(float64(said) * plausible), math.MaxInt64}
	switch {
	case name == corev1.ResourceCPU && facts.VCPUs > 0:
		b.most = max(said, 1000*facts.VCPUs)
	case name == corev1.ResourceMemory && facts.MemoryMiB > 0:
		b.most = max(said, facts.MemoryMiB*mebi)
	case name == corev1.ResourceCPU, name == corev1.ResourceMemory, name == corev1.ResourcePods, name == corev1.ResourceEphemeralStorage:
	case named:
		b = band{said, said}
	}
	return b
}

// believed returns the amount that the next node can be counted on to have, by what
// the nodes report: the largest that more than half of them have. Where that is
// outside of the band, it is believed of more than half of two nodes or more only:
// one node alone moves the amount within the band, and no further.
func believed(reports []int64, b band) int64 {
	slices.Sort(reports)
	n := len(reports)
	most, least := reports[(n-1)/2], reports[n/2] // more than half have at least most; at most least
	switch {
	case n > 1 && least < b.least:
		return least
	case n > 1 && most > b.most:
		return most
	}
	return min(max(most, b.least), b.most)
}

// agreedAmounts returns what is believed of each resource that a node reports or the
// template names. A node that does not report a resource of the template abstains:
// its device plugin may not have started. One that does not report any other
// resource has none of it.
func agreedAmounts(nodes []corev1.ResourceList, template corev1.ResourceList, facts TypeFacts) corev1.ResourceList {
	formats := map[corev1.ResourceName]resource.Format{}
	for _, list := range nodes {
		for name, q := range list {
			if have, ok := formats[name]; !ok || q.Format < have {
				formats[name] = q.Format
			}
		}
	}
	out := corev1.ResourceList{}
	for name, format := range formats {
		_, named := template[name]
		var reports []int64
		for _, list := range nodes {
			q, reported := list[name]
			if reported || !named {
				reports = append(reports, amount(name, q))
			}
		}
		v := believed(reports, bandOf(name, template, facts))
		if v == 0 && !named {
			continue
		}
		out[name] = quantity(name, v, format)
	}
	return out
}

// amount is the quantity in milli-units of cpu and in units of all else.
func amount(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

func quantity(name corev1.ResourceName, v int64, format resource.Format) resource.Quantity {
	if name == corev1.ResourceCPU {
		return *resource.NewMilliQuantity(v, format)
	}
	return *resource.NewQuantity(v, format)
}

// agreedLimits returns the attach limit of each driver for which more than half of
// the nodes report one: what is believed of those.
func agreedLimits(nodes []map[string]int32) map[string]int32 {
	reports := map[string][]int64{}
	for _, limits := range nodes {
		for driver, n := range limits {
			reports[driver] = append(reports[driver], int64(n))
		}
	}
	var out map[string]int32
	for driver, all := range reports {
		if 2*len(all) <= len(nodes) {
			continue
		}
		if out == nil {
			out = map[string]int32{}
		}
		out[driver] = int32(believed(all, band{leastAttach, math.MaxInt32}))
	}
	return out
}

// agreedLabels returns the labels that more than half of the nodes have, with the
// same value.
func agreedLabels(nodes []map[string]string) map[string]string {
	type label struct{ key, value string }
	count := map[label]int{}
	out := map[string]string{}
	for _, labels := range nodes {
		for key, value := range labels {
			l := label{key, value}
			if count[l]++; 2*count[l] > len(nodes) {
				out[key] = value
			}
		}
	}
	return out
}
