package soak_test

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/soak/invariant"
)

const (
	// The cluster is looked at every look, the controllers every ask: a look into a
	// machine costs the computer more.
	look, ask = 2 * time.Second, 15 * time.Second
	// answering is how long one look may take. A connection to a dead API server must
	// not use up the time.
	answering = 8 * time.Second
)

// observer takes snapshots of the cluster and has them judged.
type observer struct {
	*scene
	watch      *invariant.Watch
	violations []invariant.Violation
	seen       int // calls that were looked at

	mu          sync.Mutex // guards controllers
	controllers map[string]invariant.Controller
}

// run looks until ctx ends.
func (o *observer) run(ctx context.Context) {
	var asking sync.WaitGroup
	for _, m := range o.Cluster.Masters() {
		asking.Go(func() { o.follow(ctx, m) })
	}
	defer asking.Wait()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		s := o.snapshot(ctx)
		if ctx.Err() != nil {
			return
		}
		o.judge(s)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (o *observer) judge(s *invariant.Snapshot) {
	o.scene.mu.Lock()
	defer o.scene.mu.Unlock()
	o.watch.Kept = o.kept
	for _, v := range o.watch.See(s) {
		o.violations = append(o.violations, v)
		o.say("VIOLATED while %v: %s", o.doing, v)
	}
	o.latest = s
}

// whole says what the cluster lacks by the latest look, and when that was.
func (o *observer) whole() (lacks []invariant.Finding, at time.Time) {
	o.scene.mu.Lock()
	defer o.scene.mu.Unlock()
	if o.latest == nil {
		return []invariant.Finding{{Place: "cluster", Seen: "not seen yet"}}, at
	}
	return o.watch.Whole(o.latest), o.latest.At
}

// left says what the cluster has left over by the latest look.
func (o *observer) left() []invariant.Finding {
	o.scene.mu.Lock()
	defer o.scene.mu.Unlock()
	return o.watch.Left(o.latest)
}

func (o *observer) snapshot(ctx context.Context) *invariant.Snapshot {
	s := &invariant.Snapshot{}
	calls := o.World.Calls()
	s.Calls, o.seen = calls[o.seen:], len(calls)
	o.askCluster(ctx, s)
	s.At, s.Instances, s.Groups = time.Now(), o.World.Instances(), o.World.Groups()
	for _, m := range o.Host.Machines() {
		s.Machines = append(s.Machines, m.ID())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Controllers = map[string]invariant.Controller{}
	for name, c := range o.controllers {
		s.Controllers[name] = c
	}
	return s
}

func (o *observer) askCluster(ctx context.Context, s *invariant.Snapshot) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	core := o.Cluster.Client().CoreV1()
	nodes, err := core.Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		s.API = err
		return
	}
	pods, err := core.Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.API = err
		return
	}
	requests, err := o.Cluster.Client().CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
	if err != nil {
		s.API = err
		return
	}
	secrets, err := core.Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.API = err
		return
	}
	s.Secrets = map[string]bool{}
	for i := range secrets.Items {
		s.Secrets[secrets.Items[i].Name] = true
	}
	s.Nodes, s.Pods, s.Requests = nodes.Items, pods.Items, requests.Items
	s.Token = o.tokenGood(ctx)
}

// follow asks one controller from time to time.
func (o *observer) follow(ctx context.Context, m cluster.Master) {
	tick := time.NewTicker(ask)
	defer tick.Stop()
	for {
		c := o.controller(ctx, m)
		o.mu.Lock()
		o.controllers[m.NodeName] = c
		o.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var (
	problemMetric = regexp.MustCompile(`(?m)^joinery_autoscaler_plan_problems_total\{.*\} ([0-9]+)$`)
	memoryMetric  = regexp.MustCompile(`(?m)^process_resident_memory_bytes ([0-9.e+]+)$`)
)

func (o *observer) controller(ctx context.Context, m cluster.Master) invariant.Controller {
	c := invariant.Controller{At: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	metrics, err := o.Ask(ctx, m, "/metrics")
	if err != nil {
		return c
	}
	c.Answers, c.Leads = true, strings.Contains(metrics, "\njoinery_leader 1\n")
	for _, found := range problemMetric.FindAllStringSubmatch(metrics, -1) {
		n, _ := strconv.Atoi(found[1]) // digits
		c.Problems += n
	}
	if found := memoryMetric.FindStringSubmatch(metrics); found != nil {
		bytes, _ := strconv.ParseFloat(found[1], 64) // Prometheus's own
		c.ResidentMiB = int(bytes) >> 20
	}
	return c
}

// crashes are the panics in the journals of the controllers.
func (o *observer) crashes(ctx context.Context) (all []string) {
	for _, m := range o.Cluster.Masters() {
		out, err := m.Machine.Exec(ctx, "sh", "-c", "journalctl --no-pager --output=cat --unit "+site.ControllerUnit+" | grep -aE '^(panic:|fatal error:)' || true")
		if err != nil {
			all = append(all, m.NodeName+": "+err.Error())
		}
		all = append(all, strings.Split(strings.TrimSpace(string(out)), "\n")...)
	}
	return slices.DeleteFunc(all, func(line string) bool { return line == "" })
}

// webhooks are what admission asks, which in this cluster nobody has made, and volumes
// that are attached, of which it has none.
func (s *scene) webhooks(ctx context.Context) (all []string, err error) {
	client := s.Cluster.Client()
	mutating, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	validating, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	volumes, err := client.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, w := range mutating.Items {
		all = append(all, w.Name)
	}
	for _, w := range validating.Items {
		all = append(all, w.Name)
	}
	for _, v := range volumes.Items {
		all = append(all, v.Name)
	}
	return all, nil
}
