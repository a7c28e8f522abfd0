package asg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// typeCache keeps what EC2 says about instance types, which never changes.
// Unknown types are not kept: a new type may appear any day.
type typeCache struct {
	api ec2API

	mu    sync.Mutex           // guards known
	known map[string]TypeFacts // type name -> facts
}

func newTypeCache(api ec2API) *typeCache {
	return &typeCache{api: api, known: map[string]TypeFacts{}}
}

func (t *typeCache) get(ctx context.Context, name string) (TypeFacts, error) {
	t.mu.Lock()
	f, ok := t.known[name]
	t.mu.Unlock()
	if ok {
		return f, nil
	}
	out, err := t.api.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(name)}})
	var answer smithy.APIError
	switch {
	case errors.As(err, &answer) && strings.HasPrefix(answer.ErrorCode(), "InvalidInstanceType"):
		return TypeFacts{}, fmt.Errorf("unknown instance type %q: %w", name, awsfleet.Answer(err))
	case err != nil:
		return TypeFacts{}, fmt.Errorf("describe instance type %s: %w", name, awsfleet.Answer(err))
	case len(out.InstanceTypes) != 1:
		return TypeFacts{}, fmt.Errorf("unknown instance type %q", name)
	}
	f, err = typeFacts(name, out.InstanceTypes[0])
	if err != nil {
		return TypeFacts{}, err
	}
	t.mu.Lock()
	t.known[name] = f
	t.mu.Unlock()
	return f, nil
}

func typeFacts(name string, i types.InstanceTypeInfo) (TypeFacts, error) {
	f := TypeFacts{Name: name}
	if i.VCpuInfo != nil {
		f.VCPUs = int64(aws.ToInt32(i.VCpuInfo.DefaultVCpus))
	}
	if i.MemoryInfo != nil {
		f.MemoryMiB = aws.ToInt64(i.MemoryInfo.SizeInMiB)
	}
	if f.VCPUs == 0 || f.MemoryMiB == 0 {
		return TypeFacts{}, fmt.Errorf("instance type %s: EC2 names no vCPUs or no memory", name)
	}
	if i.ProcessorInfo != nil {
		switch archs := i.ProcessorInfo.SupportedArchitectures; {
		case slices.Contains(archs, types.ArchitectureTypeX8664):
			f.Arch = "amd64"
		case slices.Contains(archs, types.ArchitectureTypeArm64):
			f.Arch = "arm64"
		}
	}
	if f.Arch == "" {
		return TypeFacts{}, fmt.Errorf("instance type %s: neither x86_64 nor arm64", name)
	}
	if i.GpuInfo != nil {
		for _, g := range i.GpuInfo.Gpus {
			if strings.EqualFold(aws.ToString(g.Manufacturer), "nvidia") {
				f.NvidiaGPUs += int64(aws.ToInt32(g.Count))
			}
		}
	}
	return f, nil
}
