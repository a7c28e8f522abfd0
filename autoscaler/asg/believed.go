package asg

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
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

// report is what one node reports of its resources.
type report struct {
	teller
	list corev1.ResourceList
}

// of returns the amount that the node reports of a resource, in units of amount. A node
// abstains that does not report
//   - a resource of the template or a learned one, while it is young;
//   - one of the template, until it is known that it has settled;
//   - cpu, memory, pods or storage, whenever.
//
// Otherwise it has none of what it does not report.
func (r report) of(name corev1.ResourceName, named, learned bool) (v int64, votes bool) {
	q, reported := r.list[name]
	late := r.young && (named || learned) || named && !(r.settled && schedutil.IsScalarResourceName(name))
	if !reported && late {
		return 0, false
	}
	return amount(name, q), true
}

// agreedAmounts returns what is believed of each resource that a node reports, the
// template names or have tells. What all nodes abstain from stays as have tells.
func agreedAmounts(nodes []report, template, have corev1.ResourceList, facts TypeFacts) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, format := range formats(nodes, template, have) {
		_, named := template[name]
		before, learned := have[name]
		var reports []int64
		for _, n := range nodes {
			if v, votes := n.of(name, named, learned); votes {
				reports = append(reports, v)
			}
		}
		if len(reports) == 0 {
			if learned {
				out[name] = before
			}
			continue
		}
		v := believed(reports, bandOf(name, template, facts))
		if v == 0 && !named {
			continue
		}
		out[name] = quantity(name, v, format)
	}
	return out
}

// formats returns the resources that anything is said about, with how to write them.
func formats(nodes []report, template, have corev1.ResourceList) map[corev1.ResourceName]resource.Format {
	out := map[corev1.ResourceName]resource.Format{}
	for _, n := range nodes {
		for name, q := range n.list {
			if f, ok := out[name]; !ok || q.Format < f {
				out[name] = q.Format
			}
		}
	}
	for _, list := range [2]corev1.ResourceList{have, template} {
		for name, q := range list {
			if _, ok := out[name]; !ok {
				out[name] = q.Format
			}
		}
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
// the nodes report one: what is believed of those. Young nodes without it are not
// counted; where no other is left, what have tells stays.
func agreedLimits(nodes []teller, limits []map[string]int32, have map[string]int32) map[string]int32 {
	reports := map[string][]int64{}
	for driver := range have {
		reports[driver] = nil
	}
	for _, own := range limits {
		for driver, n := range own {
			reports[driver] = append(reports[driver], int64(n))
		}
	}
	var out map[string]int32
	set := func(driver string, n int32) {
		if out == nil {
			out = map[string]int32{}
		}
		out[driver] = n
	}
	for driver, all := range reports {
		voters := len(all)
		for i, n := range nodes {
			if _, told := limits[i][driver]; !told && !n.young {
				voters++
			}
		}
		switch {
		case voters == 0:
			set(driver, have[driver])
		case 2*len(all) > voters:
			set(driver, int32(believed(all, band{leastAttach, math.MaxInt32})))
		}
	}
	return out
}

// agreedLabels returns the labels that more than half of the nodes have, with the
// same value. Of those that have tells, young nodes without them are not counted, and
// what have tells stays where no other is left.
func agreedLabels(nodes []teller, labels []map[string]string, have map[string]string) map[string]string {
	abstain := map[string]int{}
	for key := range have {
		for i, n := range nodes {
			if _, told := labels[i][key]; !told && n.young {
				abstain[key]++
			}
		}
	}
	type label struct{ key, value string }
	count := map[label]int{}
	out := map[string]string{}
	for key, n := range abstain {
		if n == len(nodes) {
			out[key] = have[key]
		}
	}
	for _, own := range labels {
		for key, value := range own {
			l := label{key, value}
			if count[l]++; 2*count[l] > len(nodes)-abstain[key] {
				out[key] = value
			}
		}
	}
	return out
}
