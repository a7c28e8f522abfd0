package awssim

// builtinTypes is a choice of common instance types, as AWS publishes them.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AvailableIpPerENI.html
func builtinTypes() map[string]InstanceType {
	out := map[string]InstanceType{}
	for architecture, types := range map[string][]InstanceType{"x86_64": x86Types(), "arm64": armTypes()} {
		for _, t := range types {
			t.Architecture = architecture
			out[t.Name] = t
		}
	}
	return out
}

func x86Types() []InstanceType {
	return []InstanceType{
		{Name: "t3.nano", VCPUs: 2, MemoryMiB: 512, ENIs: 2, IPsPerENI: 2, Burstable: true},
		{Name: "t3.micro", VCPUs: 2, MemoryMiB: 1024, ENIs: 2, IPsPerENI: 2, Burstable: true},
		{Name: "t3.small", VCPUs: 2, MemoryMiB: 2048, ENIs: 3, IPsPerENI: 4, Burstable: true},
		{Name: "t3.medium", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 6, Burstable: true},
		{Name: "t3.large", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPsPerENI: 12, Burstable: true},
		{Name: "t3.xlarge", VCPUs: 4, MemoryMiB: 16384, ENIs: 4, IPsPerENI: 15, Burstable: true},
		{Name: "t3.2xlarge", VCPUs: 8, MemoryMiB: 32768, ENIs: 4, IPsPerENI: 15, Burstable: true},
		{Name: "t3a.small", VCPUs: 2, MemoryMiB: 2048, ENIs: 2, IPsPerENI: 4, Burstable: true},
		{Name: "t3a.medium", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 6, Burstable: true},
		{Name: "m5.large", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPsPerENI: 10, OldGeneration: true},
		{Name: "m5.xlarge", VCPUs: 4, MemoryMiB: 16384, ENIs: 4, IPsPerENI: 15, OldGeneration: true},
		{Name: "m5.2xlarge", VCPUs: 8, MemoryMiB: 32768, ENIs: 4, IPsPerENI: 15, OldGeneration: true},
		{Name: "m5.4xlarge", VCPUs: 16, MemoryMiB: 65536, ENIs: 8, IPsPerENI: 30, OldGeneration: true},
		{Name: "m6i.large", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPsPerENI: 10, OldGeneration: true},
		{Name: "m6i.xlarge", VCPUs: 4, MemoryMiB: 16384, ENIs: 4, IPsPerENI: 15, OldGeneration: true},
		{Name: "m7i.large", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPsPerENI: 10},
		{Name: "m7i.xlarge", VCPUs: 4, MemoryMiB: 16384, ENIs: 4, IPsPerENI: 15},
		{Name: "m7i.2xlarge", VCPUs: 8, MemoryMiB: 32768, ENIs: 4, IPsPerENI: 15},
		{Name: "m7i.4xlarge", VCPUs: 16, MemoryMiB: 65536, ENIs: 8, IPsPerENI: 30},
		{Name: "c5.large", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 10, OldGeneration: true},
		{Name: "c5.xlarge", VCPUs: 4, MemoryMiB: 8192, ENIs: 4, IPsPerENI: 15, OldGeneration: true},
		{Name: "c6i.large", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 10},
		{Name: "c6i.xlarge", VCPUs: 4, MemoryMiB: 8192, ENIs: 4, IPsPerENI: 15},
		{Name: "c6i.2xlarge", VCPUs: 8, MemoryMiB: 16384, ENIs: 4, IPsPerENI: 15},
		{Name: "c7i.large", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 10},
		{Name: "c7i.xlarge", VCPUs: 4, MemoryMiB: 8192, ENIs: 4, IPsPerENI: 15},
		{Name: "c7i.4xlarge", VCPUs: 16, MemoryMiB: 32768, ENIs: 8, IPsPerENI: 30},
		{Name: "r5.large", VCPUs: 2, MemoryMiB: 16384, ENIs: 3, IPsPerENI: 10, OldGeneration: true},
		{Name: "r6i.large", VCPUs: 2, MemoryMiB: 16384, ENIs: 3, IPsPerENI: 10, OldGeneration: true},
		{Name: "r7i.xlarge", VCPUs: 4, MemoryMiB: 32768, ENIs: 4, IPsPerENI: 15},
		{Name: "g4dn.xlarge", VCPUs: 4, MemoryMiB: 16384, ENIs: 3, IPsPerENI: 10, GPUs: 1, GPUName: "T4", GPUMaker: "NVIDIA", GPUMemoryMiB: 16384, LocalDiskGB: 125},
	}
}

func armTypes() []InstanceType {
	return []InstanceType{
		{Name: "t4g.small", VCPUs: 2, MemoryMiB: 2048, ENIs: 3, IPsPerENI: 4, Burstable: true},
		{Name: "t4g.medium", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 6, Burstable: true},
		{Name: "m6g.large", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPsPerENI: 10},
		{Name: "m7g.large", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPsPerENI: 10},
		{Name: "m7g.xlarge", VCPUs: 4, MemoryMiB: 16384, ENIs: 4, IPsPerENI: 15},
		{Name: "c7g.large", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPsPerENI: 10},
	}
}
