package cluster

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// admission is what the API server and its admission plugins add to a new pod, as far as
// it decides which node the pod suits and what it takes there.
type admission struct {
	ranges   map[string][]*corev1.LimitRange // namespace -> by name
	runtimes map[string]*nodev1.RuntimeClass
}

func newAdmission(in *Input) *admission {
	a := &admission{ranges: map[string][]*corev1.LimitRange{}, runtimes: map[string]*nodev1.RuntimeClass{}}
	for _, r := range in.LimitRanges {
		a.ranges[r.Namespace] = append(a.ranges[r.Namespace], r)
	}
	for _, list := range a.ranges {
		slices.SortFunc(list, func(x, y *corev1.LimitRange) int { return cmp.Compare(x.Name, y.Name) })
	}
	for _, r := range in.RuntimeClasses {
		a.runtimes[r.Name] = r
	}
	return a
}

// admit changes the pod in place, in the API server's order:
//   - a container's limits are its requests where it names none, and with the host's
//     network its ports are the host's (defaulting);
//   - what a container names neither a request nor a limit of, it gets from the
//     namespace's LimitRanges (admission plugin LimitRanger);
//   - the pod's own limits are its requests likewise (pod-level resources);
//   - overhead, node selector and tolerations of its RuntimeClass are added (admission
//     plugin RuntimeClass).
func (a *admission) admit(pod *corev1.Pod) {
	spec := &pod.Spec
	for _, list := range [2][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			c := &list[i]
			c.Resources.Requests = withMissing(c.Resources.Requests, c.Resources.Limits)
			for _, r := range a.ranges[pod.Namespace] {
				applyDefaults(r, &c.Resources)
			}
			if spec.HostNetwork {
				takeHostPorts(c.Ports)
			}
		}
	}
	setPodRequests(pod)
	if spec.RuntimeClassName != nil {
		if r := a.runtimes[*spec.RuntimeClassName]; r != nil {
			applyRuntime(r, spec)
		}
	}
}

// withMissing returns the list with those of more that it does not name.
func withMissing(list, more corev1.ResourceList) corev1.ResourceList {
	for name, q := range more {
		if _, ok := list[name]; ok {
			continue
		}
		if list == nil {
			list = make(corev1.ResourceList, len(more))
		}
		list[name] = q
	}
	return list
}

func takeHostPorts(ports []corev1.ContainerPort) {
	for i := range ports {
		if ports[i].HostPort == 0 {
			ports[i].HostPort = ports[i].ContainerPort
		}
	}
}

// applyDefaults adds the defaults for containers. Without a default of its own a limit is
// the maximum, and a request the limit or else the minimum: the API server stores a
// LimitRange so.
func applyDefaults(r *corev1.LimitRange, resources *corev1.ResourceRequirements) {
	for i := range r.Spec.Limits {
		item := &r.Spec.Limits[i]
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		limits := withMissing(maps.Clone(item.Default), item.Max)
		requests := withMissing(withMissing(maps.Clone(item.DefaultRequest), limits), item.Min)
		resources.Requests = withMissing(resources.Requests, requests)
		resources.Limits = withMissing(resources.Limits, limits)
	}
}

// setPodRequests makes limits of the pod as a whole its requests, of what neither it nor a
// container requests.
func setPodRequests(pod *corev1.Pod) {
	own := pod.Spec.Resources
	if own == nil || len(own.Limits) == 0 {
		return
	}
	of := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for name, q := range own.Limits {
		if _, ok := of[name]; ok || !resourcehelper.IsSupportedPodLevelResource(name) {
			continue
		}
		own.Requests = withMissing(own.Requests, corev1.ResourceList{name: q})
	}
}

func applyRuntime(r *nodev1.RuntimeClass, spec *corev1.PodSpec) {
	if r.Overhead != nil {
		spec.Overhead = withMissing(spec.Overhead, r.Overhead.PodFixed)
	}
	if r.Scheduling == nil {
		return
	}
	if spec.NodeSelector == nil {
		spec.NodeSelector = map[string]string{}
	}
	maps.Copy(spec.NodeSelector, r.Scheduling.NodeSelector)
	spec.Tolerations = append(spec.Tolerations, r.Scheduling.Tolerations...)
}
