package soak_test

import (
	"context"
	"fmt"

	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/site"
)

// masterFaults are done to one control-plane node, some to the one whose controller
// leads. One at a time: etcd's majority is two of three.
var masterFaults = []fault{
	{"leader killed", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		return nil, k.exec(m.Machine, "systemctl", "kill", "--signal=KILL", "--kill-who=main", site.ControllerUnit)
	}},
	{"leader stopped", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		return on(m.Machine, "systemctl", "start", site.ControllerUnit), k.exec(m.Machine, "systemctl", "stop", site.ControllerUnit)
	}},
	{"leader frozen", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		kill := func(signal string) []string {
			return []string{"systemctl", "kill", "--signal=" + signal, "--kill-who=main", site.ControllerUnit}
		}
		return on(m.Machine, kill("CONT")...), k.exec(m.Machine, kill("STOP")...)
	}},
	{"leader's machine cut off", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		return func(context.Context) error { return m.Machine.Connect() }, m.Machine.CutOff()
	}},
	{"leader cut off from AWS", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		return on(m.Machine, iptables("-D", dropAWS)...), k.exec(m.Machine, iptables("-A", dropAWS)...)
	}},
	{"leader's machine reboots", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		return nil, m.Machine.Reboot(k.ctx)
	}},
	{"leader's certificate lost", func(k *stroke) (lift, error) {
		m, err := k.leader()
		if err != nil {
			return nil, err
		}
		return on(m.Machine, "systemctl", "start", "joinery-credentials.service"), k.exec(m.Machine, "rm", "/etc/joinery/private/controller/client.pem")
	}},
	{"all controllers restarted", func(k *stroke) (lift, error) {
		for _, m := range k.Cluster.Masters() {
			if err := k.exec(m.Machine, "systemctl", "restart", site.ControllerUnit); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}},
	{"plug of a control-plane node pulled", func(k *stroke) (lift, error) {
		m := k.master()
		return func(ctx context.Context) error { return m.Machine.Start(ctx) }, m.Machine.PullPlug(k.ctx)
	}},
	{"etcd killed", program("etcd", "KILL", "")},
	{"etcd frozen", program("etcd", "STOP", "CONT")},
	{"API server killed", program("kube-apiserver", "KILL", "")},
	{"controller manager and scheduler killed", func(k *stroke) (lift, error) {
		m := k.master()
		return nil, k.exec(m.Machine, "sh", "-c", send("kube-controller-manager", "KILL")+send("kube-scheduler", "KILL"))
	}},
}

func (k *stroke) leader() (cluster.Master, error) {
	ctx, cancel := context.WithTimeout(k.ctx, answering)
	defer cancel()
	m, _, err := k.Leader(ctx)
	if err != nil {
		return m, fmt.Errorf("%w: %w", errNobody, err)
	}
	k.on = m.NodeName
	return m, nil
}

// master picks any control-plane node.
func (k *stroke) master() cluster.Master {
	all := k.Cluster.Masters()
	m := all[k.random.IntN(len(all))]
	k.on = m.NodeName
	return m
}

// on undoes by a command on a machine.
func on(m *machine.Machine, args ...string) lift {
	return func(ctx context.Context) error {
		_, err := m.Exec(ctx, args...)
		return err
	}
}

// send is a shell command that signals all processes of a program of the machine.
func send(program, signal string) string {
	return "for e in /proc/[0-9]*/exe; do [ \"$(readlink $e)\" = /usr/local/bin/" + program + " ] && p=${e#/proc/} && kill -" + signal + " ${p%/exe}; done; true; "
}

// program sends a signal to a program of the control plane, and another to undo that.
func program(name, signal, undo string) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		m := k.master()
		err := k.exec(m.Machine, "sh", "-c", send(name, signal))
		if undo == "" {
			return nil, err
		}
		return on(m.Machine, "sh", "-c", send(name, undo)), err
	}
}
