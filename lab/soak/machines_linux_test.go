package soak_test

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/machine"
)

const (
	kubelet, agent, containerd = "kubelet.service", "joinery-agent.service", "containerd.service"
	// dropAWS and dropAPI are packets to the simulated AWS and to the API servers.
	dropAWS = "OUTPUT -d 10.99.0.1 -p tcp --dport 4566 -j DROP"
	dropAPI = "OUTPUT -p tcp --dport 6443 -j DROP"
)

// machineFaults are done to workers.
var machineFaults = []fault{
	{"plug of a worker pulled", func(k *stroke) (lift, error) {
		_, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		return nil, m.PullPlug(k.ctx)
	}},
	{"worker powers itself off", func(k *stroke) (lift, error) {
		_, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		return nil, k.exec(m, "systemctl", "poweroff", "--no-block")
	}},
	{"worker reboots", func(k *stroke) (lift, error) {
		i, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		defer k.spare(i.ID)
		return nil, m.Reboot(k.ctx)
	}},
	{"instance dies while it boots", dieAtBoot},
	{"kubelet killed", signal(kubelet, "KILL")},
	{"agent killed", signal(agent, "KILL")},
	{"containerd killed", signal(containerd, "KILL")},
	{"kubelet stopped", stop(kubelet)},
	{"agent stopped", stop(agent)},
	{"containerd stopped", stop(containerd)},
	{"kubelet frozen", freeze(kubelet)},
	{"agent frozen", freeze(agent)},
	{"kubelet and agent stopped", stop(kubelet, agent)},
	{"worker cut off", func(k *stroke) (lift, error) {
		i, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		return k.unlessGone(i, func(context.Context) error { return m.Connect() }), m.CutOff()
	}},
	{"worker cut off from AWS", rule(dropAWS)},
	{"worker cut off from the API servers", rule(dropAPI)},
}

func (k *stroke) exec(m *machine.Machine, args ...string) error {
	_, err := m.Exec(k.ctx, args...)
	return err
}

// unlessGone takes a fault away from a machine that is still there to have it.
func (k *stroke) unlessGone(i awssim.Instance, undo lift) lift {
	return func(ctx context.Context) error {
		m, ok := k.Host.Machine(i.ID)
		if !ok || m.State() != machine.Running {
			return nil
		}
		err := undo(ctx)
		if m.State() != machine.Running {
			return nil // it went meanwhile
		}
		k.spare(i.ID)
		return err
	}
}

func signal(unit, name string) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		i, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		defer k.spare(i.ID)
		return nil, k.exec(m, "systemctl", "kill", "--signal="+name, "--kill-who=main", unit)
	}
}

func stop(units ...string) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		i, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		start := k.unlessGone(i, func(ctx context.Context) error {
			_, err := m.Exec(ctx, append([]string{"systemctl", "start", "--no-block"}, units...)...)
			return err
		})
		return start, k.exec(m, append([]string{"systemctl", "stop"}, units...)...)
	}
}

func freeze(unit string) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		i, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		thaw := k.unlessGone(i, func(ctx context.Context) error {
			_, err := m.Exec(ctx, "systemctl", "kill", "--signal=CONT", "--kill-who=main", unit)
			return err
		})
		return thaw, k.exec(m, "systemctl", "kill", "--signal=STOP", "--kill-who=main", unit)
	}
}

func rule(drop string) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		i, m, err := k.worker()
		if err != nil {
			return nil, err
		}
		open := k.unlessGone(i, func(ctx context.Context) error {
			_, err := m.Exec(ctx, iptables("-D", drop)...)
			return err
		})
		return open, k.exec(m, iptables("-A", drop)...)
	}
}

func iptables(do, rule string) []string {
	return append([]string{"iptables", "-w", do}, strings.Fields(rule)...)
}

// dieAtBoot has a group launch an instance, and pulls its plug before it is a node.
func dieAtBoot(k *stroke) (lift, error) {
	before := k.World.Instances()
	g, err := k.World.Group(plain)
	if err != nil {
		return nil, err
	}
	if g.Desired >= g.Max {
		return nil, errNobody
	}
	_, err = k.autoscaling().SetDesiredCapacity(k.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(plain), DesiredCapacity: aws.Int32(int32(g.Desired + 1))})
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, i := range before {
		known[i.ID] = true
	}
	for range 100 {
		for _, i := range k.World.Instances() {
			if known[i.ID] || i.Group != plain {
				continue
			}
			if m, ok := k.Host.Machine(i.ID); ok && m.State() == machine.Running {
				k.on = i.ID
				return nil, m.PullPlug(k.ctx)
			}
		}
		sleep(k.ctx, 100*time.Millisecond)
	}
	return nil, errNobody
}
