package awssim_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/joinery/joinery/internal/wait"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func TestThrottling(t *testing.T) {
	w, c := newWorld(t)
	w.Inject(awssim.Fault{Code: awssim.Throttle, Count: 3})
	_, err := get(t.Context(), c, joinName, true)
	wantCode(t, err, "ThrottlingException")
	_, err = c.ec2.DescribeInstances(t.Context(), nil)
	wantCode(t, err, "RequestLimitExceeded")
	_, err = c.asg.DescribeAutoScalingGroups(t.Context(), nil)
	wantCode(t, err, "Throttling")
	_, err = c.asg.DescribeAutoScalingGroups(t.Context(), nil)
	wantCode(t, err, "")
	remove := w.Inject(awssim.Fault{Service: "ec2", Principal: "node", Code: "UnauthorizedOperation", Status: 403})
	_, err = c.ec2.DescribeInstances(t.Context(), nil)
	wantCode(t, err, "")
	_, err = connect(w, "node").ec2.DescribeInstances(t.Context(), nil)
	wantCode(t, err, "UnauthorizedOperation")
	remove()
	_, err = connect(w, "node").ec2.DescribeInstances(t.Context(), nil)
	wantCode(t, err, "")
}

// TestRetriedAnswerLoss: the SDK retries a call whose answer was lost, and the
// action has been done twice.
func TestRetriedAnswerLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t)
		defer w.Close()
		w.Inject(awssim.Fault{Action: "PutParameter", LoseAnswer: true, Count: 1})
		_, err := put(t.Context(), c, func(in *ssm.PutParameterInput) { in.Overwrite = aws.Bool(true) })
		if err == nil {
			t.Fatal("the answer was not lost")
		}
		out := must(ssm.NewFromConfig(w.Config("controller")).PutParameter(t.Context(), &ssm.PutParameterInput{
			Name: aws.String(joinName), Value: aws.String("x"), Type: "SecureString", Overwrite: aws.Bool(true)}))(t)
		if calls := w.CallsTo("ssm", "PutParameter"); out.Version != 2 || len(calls) != 2 || !calls[0].Lost || calls[1].Lost {
			t.Errorf("version %d after calls %+v", out.Version, calls)
		}
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t)
		defer w.Close()
		w.Inject(awssim.Fault{Service: "sts", Delay: 3 * time.Second})
		start := time.Now()
		must(c.sts.GetCallerIdentity(t.Context(), nil))(t)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("answered after %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.sts.GetCallerIdentity(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
	})
}

func TestProbabilityIsRepeatable(t *testing.T) {
	run := func() (hits string) {
		w := &awssim.World{Seed: 7}
		defer w.Close()
		c := connect(w, "x")
		w.Inject(awssim.Fault{Code: awssim.Throttle, Probability: 0.5})
		for range 32 {
			if _, err := c.sts.GetCallerIdentity(t.Context(), nil); err != nil {
				hits += "x"
			} else {
				hits += "."
			}
		}
		return hits
	}
	first, second := run(), run()
	if first != second {
		t.Errorf("%s and then %s", first, second)
	}
}

func TestEventualConsistency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t)
		defer w.Close()
		w.Inject(awssim.Fault{LateDescribe: 5 * time.Second})
		w.Inject(awssim.Fault{LateIMDS: 2 * time.Second})
		w.Inject(awssim.Fault{LateCredentials: 4 * time.Second})
		i := add(t, w, awssim.InstanceSpec{Role: "node"})
		if n := len(ids(t, c, nil)); n != 0 {
			t.Errorf("%d instances visible at once", n)
		}
		_, err := c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{i.ID}})
		wantCode(t, err, "InvalidInstanceID.NotFound")
		if status, _ := raw(t, w, i.ID, http.MethodPut, "/latest/api/token", ttlHeader, "60"); status != 0 {
			t.Errorf("metadata answered %d at once", status)
		}
		bubble.Sleep(3 * time.Second)
		if _, status := read(t, metadata(w, i.ID), "iam/security-credentials/"); status != 404 {
			t.Errorf("credentials answered %d at 3 s", status)
		}
		bubble.Sleep(3 * time.Second)
		if _, status := read(t, metadata(w, i.ID), "iam/security-credentials/"); status != 200 {
			t.Errorf("credentials answered %d at 6 s", status)
		}
		if n := len(ids(t, c, nil)); n != 1 {
			t.Errorf("%d instances visible after 6 s", n)
		}
	})
}

func TestIMDSFaults(t *testing.T) {
	w, _ := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{})
	w.Inject(awssim.Fault{Service: "imds", Action: "/latest/meta-data/instance-id", Code: "503", Status: 503, Count: 1})
	c := metadata(w, i.ID)
	if _, status := read(t, c, "instance-id"); status != 503 {
		t.Errorf("status %d, want 503", status)
	}
	if _, status := read(t, c, "instance-id"); status != 200 {
		t.Errorf("status %d, want 200", status)
	}
}

// machines is a Hypervisor that takes its time and can fail.
type machines struct {
	mu   sync.Mutex
	log  []string
	fail map[string]error // verb -> what it returns
	slow time.Duration
}

func (m *machines) do(ctx context.Context, verb string) error {
	if wait.For(ctx, m.slow) != nil {
		verb += " cancelled"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, verb)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.fail[verb]
}

func (m *machines) Start(ctx context.Context, _ awssim.Instance) error { return m.do(ctx, "start") }
func (m *machines) Stop(ctx context.Context, _ string) error           { return m.do(ctx, "stop") }
func (m *machines) Reboot(ctx context.Context, _ string) error         { return m.do(ctx, "reboot") }
func (m *machines) Terminate(ctx context.Context, _ string) error      { return m.do(ctx, "terminate") }

func (m *machines) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := ""
	for _, l := range m.log {
		s += l + ";"
	}
	return s
}

func TestHypervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{slow: time.Second}
		w := &awssim.World{Hypervisor: m}
		defer w.Close()
		c := connect(w, "controller")
		i := add(t, w, awssim.InstanceSpec{})
		want := func(s awssim.State) {
			t.Helper()
			if got := must(w.Instance(i.ID))(t).State; got != s {
				t.Errorf("state %s, want %s", got, s)
			}
		}
		one := []string{i.ID}
		want(awssim.Pending)
		_, err := c.ec2.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: one})
		wantCode(t, err, "IncorrectInstanceState")
		bubble.Sleep(1100 * time.Millisecond)
		want(awssim.Running)
		_, err = c.ec2.RebootInstances(t.Context(), &ec2.RebootInstancesInput{InstanceIds: one})
		wantCode(t, err, "")
		out := must(c.ec2.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: one}))(t)
		if s := out.StoppingInstances[0]; s.CurrentState.Name != "stopping" || s.PreviousState.Name != "running" {
			t.Errorf("change %+v", s)
		}
		bubble.Sleep(2100 * time.Millisecond)
		want(awssim.Stopped)
		must(c.ec2.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: one}))(t)
		bubble.Sleep(500 * time.Millisecond)
		must(c.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: one}))(t)
		want(awssim.ShuttingDown)
		bubble.Sleep(1100 * time.Millisecond)
		want(awssim.Terminated)
		if got, want := m.said(), "start;reboot;stop;start cancelled;terminate;"; got != want {
			t.Errorf("hypervisor did %s want %s", got, want)
		}
	})
}

// TestGuestHaltsEarly: a guest that powers itself off before its start is
// reported done ends up stopped all the same.
func TestGuestHaltsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Hypervisor: &machines{slow: time.Second}}
		defer w.Close()
		i := add(t, w, awssim.InstanceSpec{})
		w.Halted(i.ID)
		bubble.Sleep(3 * time.Second)
		if got := must(w.Instance(i.ID))(t); got.State != awssim.Stopped || got.StateReason == "" {
			t.Errorf("state %s because %q", got.State, got.StateReason)
		}
	})
}

func TestMachineThatDoesNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{slow: time.Second, fail: map[string]error{"start": errors.New("no kernel")}}
		w := &awssim.World{Hypervisor: m}
		defer w.Close()
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 1, Desired: 1}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(10 * time.Second)
		if n := len(w.Instances()); n != 1 || w.Instances()[0].State != awssim.Terminated {
			t.Fatalf("%d instances, first %s: the group must pause after a failed start", n, w.Instances()[0].State)
		}
		m.mu.Lock()
		m.fail = nil
		m.mu.Unlock()
		bubble.Sleep(time.Minute)
		if got := states(t, w); got != "InService" {
			t.Errorf("states %q", got)
		}
	})
}

// TestOverSockets serves the API and one instance's metadata as the lab does.
func TestOverSockets(t *testing.T) {
	w, _ := newWorld(t)
	template(w)
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx, l) }()
	cfg := w.Config("controller")
	cfg.BaseEndpoint = aws.String("http://" + l.Addr().String())
	cfg.HTTPClient = &http.Client{}
	asg := autoscaling.NewFromConfig(cfg)
	must(asg.DescribeAutoScalingGroups(t.Context(), nil))(t)
	w.Inject(awssim.Fault{Action: "DescribeAutoScalingGroups", LoseAnswer: true, Count: 1})
	must(asg.DescribeAutoScalingGroups(t.Context(), nil))(t) // retried by the SDK
	if n := len(w.CallsTo("autoscaling", "DescribeAutoScalingGroups")); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	i := add(t, w, awssim.InstanceSpec{})
	l2 := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	go func() { done <- w.ServeIMDS(ctx, l2, i.ID) }()
	md := imds.New(imds.Options{DisableDefaultTimeout: true, Endpoint: "http://" + l2.Addr().String(), HTTPClient: &http.Client{}, EnableFallback: aws.FalseTernary})
	if got, status := read(t, md, "instance-id"); got != i.ID {
		t.Errorf("metadata over a socket: %d %q", status, got)
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}
