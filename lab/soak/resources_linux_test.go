package soak_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/site"
)

// sample is what the controllers have used in one minute, all together; the memory is
// that of the largest.
type sample struct {
	at                          time.Duration
	resident                    int           // MiB
	cpu                         time.Duration // of all controllers
	requests, leases, calls     int
	workers, instances, pending int
}

// meter measures the controllers each minute.
type meter struct {
	*scene
	samples []sample

	cpu                     map[string]time.Duration // control-plane node -> what its controller had used
	requests, leases, calls int                      // in all, at the last look
}

func (m *meter) run(ctx context.Context) {
	m.measure(ctx)
	m.samples = nil // the first look is what the others are counted from
	for sleep(ctx, time.Minute) {
		m.measure(ctx)
	}
}

func (m *meter) measure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	now := sample{at: m.into(time.Now())}
	for _, c := range m.Cluster.Masters() {
		resident, cpu := usage(ctx, c)
		now.resident = max(now.resident, resident)
		if used := cpu - m.cpu[c.NodeName]; used > 0 { // a new process begins anew
			now.cpu += used
		}
		m.cpu[c.NodeName] = cpu
	}
	requests, err := m.Cluster.ControllerRequests()
	if err != nil {
		m.say("audit log: %v", err)
	}
	leases, calls := 0, 0
	for _, r := range requests {
		if r.Resource == "leases" {
			leases++
		}
	}
	for _, c := range m.World.Calls() {
		if c.Principal == site.ControllerRole && c.Service != "imds" {
			calls++
		}
	}
	now.requests, now.leases, now.calls = len(requests)-m.requests, leases-m.leases, calls-m.calls
	m.requests, m.leases, m.calls = len(requests), leases, calls
	m.scene.mu.Lock()
	if s := m.latest; s != nil {
		now.workers = max(len(s.Nodes)-len(m.Cluster.Masters()), 0)
		for _, i := range s.Instances {
			if isWorker(i) && i.State == "running" {
				now.instances++
			}
		}
		for _, p := range s.Pods {
			if p.Spec.NodeName == "" {
				now.pending++
			}
		}
	}
	m.scene.mu.Unlock()
	m.samples = append(m.samples, now)
}

// usage is what the controller on a control-plane node has resident, in MiB, and how
// much of a processor it has used since it began; nothing for one that is not there.
func usage(ctx context.Context, c cluster.Master) (resident int, cpu time.Duration) {
	out, err := c.Machine.Exec(ctx, "sh", "-c", "p=$(systemctl show --property MainPID --value "+site.ControllerUnit+"); grep VmRSS /proc/$p/status; cat /proc/$p/stat")
	if err != nil {
		return 0, 0
	}
	memory, stat, _ := strings.Cut(string(out), "\n")
	if fields := strings.Fields(memory); len(fields) == 3 { // VmRSS: 12345 kB
		kib, _ := strconv.Atoi(fields[1]) // the kernel's own
		resident = kib >> 10
	}
	// After the name: state is the third field of the line, utime and stime are the
	// 14th and 15th, in ticks of 10 ms.
	_, rest, _ := strings.Cut(stat, ") ")
	if fields := strings.Fields(rest); len(fields) > 13 {
		for _, f := range fields[11:13] {
			ticks, _ := strconv.Atoi(f) // the kernel's own
			cpu += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return resident, cpu
}

// table is what was measured, a line a minute.
func (m *meter) table() string {
	return tabulated("minute\tworkers\tinstances\tpods waiting\tlargest controller, MiB\tCPU, s\tAPI requests\tof Leases\tAWS calls", func(row func(...any)) {
		for _, s := range m.samples {
			row(fmt.Sprintf("%.0f", s.at.Minutes()), s.workers, s.instances, s.pending, s.resident, fmt.Sprintf("%.1f", s.cpu.Seconds()), s.requests, s.leases, s.calls)
		}
	})
}

func tabulated(head string, fill func(row func(...any))) string {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, head)
	fill(func(cells ...any) {
		for n, c := range cells {
			if n > 0 {
				fmt.Fprint(out, "\t")
			}
			fmt.Fprint(out, c)
		}
		fmt.Fprintln(out)
	})
	out.Flush()
	return text.String()
}
