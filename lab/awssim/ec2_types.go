package awssim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// AddInstanceType adds a type, or replaces the one of that name.
func (w *World) AddInstanceType(t InstanceType) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	setDefault(&t.Architecture, "x86_64")
	setDefault(&t.ENIs, 3)
	setDefault(&t.IPsPerENI, 10)
	w.types[t.Name] = t
}

func (t InstanceType) filterValue(name string) ([]string, bool) {
	v, known := map[string]string{
		"instance-type":                             t.Name,
		"current-generation":                        strconv.FormatBool(!t.OldGeneration),
		"burstable-performance-supported":           strconv.FormatBool(t.Burstable),
		"bare-metal":                                "false",
		"hypervisor":                                "nitro",
		"processor-info.supported-architecture":     t.Architecture,
		"vcpu-info.default-vcpus":                   strconv.Itoa(t.VCPUs),
		"memory-info.size-in-mib":                   strconv.Itoa(t.MemoryMiB),
		"network-info.maximum-network-interfaces":   strconv.Itoa(t.ENIs),
		"network-info.ipv4-addresses-per-interface": strconv.Itoa(t.IPsPerENI),
		"instance-storage-supported":                strconv.FormatBool(t.LocalDiskGB > 0),
		"supported-virtualization-type":             "hvm",
		"supported-root-device-type":                "ebs",
		"supported-usage-class":                     "on-demand",
	}[name]
	if name == "supported-usage-class" && !t.NoSpot {
		return []string{"on-demand", "spot"}, true
	}
	return []string{v}, known
}

func (w *World) describeInstanceTypes(req *request) (any, error) {
	size, err := pageSize(req, "InstanceType", 5, 100)
	if err != nil {
		return nil, err
	}
	names := req.form.strs("InstanceType")
	var unknown []string
	for _, n := range names {
		if _, ok := w.types[n]; !ok {
			unknown = append(unknown, n)
		}
	}
	if len(unknown) > 0 {
		return nil, fail("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(unknown, ", "))
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(w.types))
	}
	var all []InstanceType
	for _, n := range names {
		ok, err := matchFilters(req.form.filters(), w.types[n].filterValue)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, w.types[n])
		}
	}
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{
		elList("instanceTypeSet", "item", part, func(t InstanceType) any { return t.nodes() }),
		el("nextToken", next),
	}, nil
}

// describeOfferings says where types can be had: everywhere in the region.
func (w *World) describeOfferings(req *request) (any, error) {
	kind := req.form.str("LocationType")
	setDefault(&kind, "region")
	var places []string
	switch kind {
	case "region":
		places = []string{w.Region}
	case "availability-zone":
		places = w.Zones
	default:
		return nil, notSimulated("ec2", req.action, "LocationType="+kind)
	}
	type offering struct{ instanceType, place string }
	all := map[string]offering{}
	for name := range w.types {
		for _, place := range places {
			all[name+" "+place] = offering{name, place}
		}
	}
	return describe(req, "", "instanceTypeOfferingSet", all, nil, func(o offering, name string) ([]string, bool) {
		v, known := map[string]string{"instance-type": o.instanceType, "location": o.place}[name]
		return []string{v}, known
	}, func(o offering) []node {
		return []node{el("instanceType", o.instanceType), el("locationType", kind), el("location", o.place)}
	})
}

func items(values ...any) []node {
	var out []node
	for _, v := range values {
		out = append(out, el("item", v))
	}
	return out
}

func (t InstanceType) nodes() []node {
	cores, threads := t.VCPUs, 1
	if t.Architecture == "x86_64" {
		cores, threads = max(1, t.VCPUs/2), 2
	}
	usage := items("on-demand", "spot")
	if t.NoSpot {
		usage = items("on-demand")
	}
	n := []node{
		el("instanceType", t.Name), el("currentGeneration", !t.OldGeneration), el("freeTierEligible", t.Name == "t3.micro"),
		el("supportedUsageClasses", usage), el("supportedRootDeviceTypes", items("ebs")),
		el("supportedVirtualizationTypes", items("hvm")), el("bareMetal", false), el("hypervisor", "nitro"),
		el("processorInfo", []node{el("supportedArchitectures", items(t.Architecture))}),
		el("vCpuInfo", []node{el("defaultVCpus", t.VCPUs), el("defaultCores", cores), el("defaultThreadsPerCore", threads)}),
		el("memoryInfo", []node{el("sizeInMiB", t.MemoryMiB)}),
		el("instanceStorageSupported", t.LocalDiskGB > 0),
		el("networkInfo", []node{
			el("networkPerformance", t.NetworkSummary), el("maximumNetworkInterfaces", t.ENIs), el("maximumNetworkCards", 1),
			el("defaultNetworkCardIndex", 0), el("ipv4AddressesPerInterface", t.IPsPerENI), el("ipv6AddressesPerInterface", t.IPsPerENI),
			el("ipv6Supported", true), el("enaSupport", "required"),
		}),
		el("burstablePerformanceSupported", t.Burstable),
	}
	if t.LocalDiskGB > 0 {
		n = append(n, el("instanceStorageInfo", []node{el("totalSizeInGB", t.LocalDiskGB)}))
	}
	if t.GPUs > 0 {
		n = append(n, el("gpuInfo", []node{
			el("gpus", []node{el("item", []node{
				el("name", t.GPUName), el("manufacturer", t.GPUMaker), el("count", t.GPUs),
				el("memoryInfo", []node{el("sizeInMiB", t.GPUMemoryMiB)}),
			})}),
			el("totalGpuMemoryInMiB", t.GPUs*t.GPUMemoryMiB),
		}))
	}
	return n
}
