package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/robfig/cron/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apitypes "k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/lab/awssim"
)

const (
	simParameter = "/joinery/demo/join"
	simTTL       = 3 * time.Hour // the default of spec.token.ttl
)

// Timings of leader.Election.
const (
	leaseLasts = 10 * time.Second
	leaderEnds = 6 * time.Second // without a renewal
	electorTry = 2200 * time.Millisecond
)

var simCA = sync.OnceValue(func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
})

// sim is a cluster in virtual time: an API server that holds Secrets and a
// Lease, SSM on the wire, and masters whose processes come and go. Everything
// that a process does to the world passes through process.call.
type sim struct {
	aws     *awssim.World
	admin   *ssm.Client // is hit by no fault
	store   *bundle.Store
	options token.Options

	mu      sync.Mutex
	rand    *mathrand.Rand
	closed  bool
	wg      sync.WaitGroup // of processes that lead
	masters []*master
	secrets map[string]*corev1.Secret
	made    int // Secrets ever
	// Outages for all masters; counters, as several may overlap.
	apiDown, ssmDown, throttled int
	hangs                       bool // an outage hangs instead of refusing
	onWire                      int  // reads go over the wire even when nothing changed

	holder  *process // of the Lease
	sick    time.Time
	episode int // of the holder's sickness; tells timers that they are stale

	version int       // of what is known of the parameter
	changed time.Time // when it last became another
	read    int       // version that cached is of
	cached  bundle.Stored
	readErr error

	check  func(*sim) // after each write of the parameter, without the mutex
	events []string
	trace  bool
}

// master is a machine; its clock differs from the true one.
type master struct {
	s            *sim
	name         string
	offset       time.Duration
	noAPI, noSSM int           // partitions
	paused       chan struct{} // closed when it wakes; nil while it runs
	process      *process
	starts       int
}

// process is one run of the controller.
type process struct {
	m       *master
	name    string
	dead    bool
	life    context.Context
	end     context.CancelFunc
	rotator *token.Rotator
	api     *bundle.Store
	trap    *trap
	passes  int
	deluded bool // it takes itself for the leader whatever it asks
}

// trap does something to a process between two of its calls.
type trap struct {
	left    int  // passes
	writing bool // count from the first call that changes something
	spring  func(*process)
}

func newSim(seed uint64, masters int) *sim {
	schedule, err := cron.ParseStandard("@hourly")
	if err != nil {
		panic(err)
	}
	s := &sim{
		aws: &awssim.World{Seed: seed}, rand: mathrand.New(mathrand.NewPCG(seed, 0x746f6b656e)), secrets: map[string]*corev1.Secret{},
		options: token.Options{Schedule: schedule, Jitter: 5 * time.Minute, TTL: simTTL, Overlap: 30 * time.Minute, Recheck: time.Minute},
		version: 1,
	}
	s.admin = ssm.NewFromConfig(s.aws.Config(awssim.Oracle))
	s.store = bundle.NewStore(s.admin, "demo", simParameter, "")
	for i := range masters {
		s.masters = append(s.masters, &master{s: s, name: string(rune('A' + i))})
	}
	return s
}

// run starts a process on each master.
func (s *sim) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.masters {
		s.startLocked(m)
	}
}

// close ends everything, so that the bubble can end.
func (s *sim) close() {
	s.mu.Lock()
	s.closed = true
	for _, m := range s.masters {
		if m.paused != nil {
			close(m.paused)
			m.paused = nil
		}
		if p := m.process; p != nil {
			p.dead = true
			p.end()
		}
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.aws.Close()
}

// note keeps the last events for the report of a failure.
func (s *sim) noteLocked(format string, args ...any) {
	line := time.Now().UTC().Format("02 15:04:05.000 ") + fmt.Sprintf(format, args...)
	if s.trace {
		fmt.Println(line)
	}
	if len(s.events) >= 60 {
		s.events = slices.Delete(s.events, 0, 20)
	}
	s.events = append(s.events, line)
}

func (s *sim) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(format, args...)
}

// after runs f later, under the mutex, unless the simulation is over by then.
func (s *sim) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			f()
		}
	})
}

func (s *sim) upToLocked(d time.Duration) time.Duration {
	return time.Duration(s.rand.Int64N(int64(d)))
}

// startLocked starts a process on m, which stands for election.
func (s *sim) startLocked(m *master) {
	m.starts++
	p := &process{m: m, name: fmt.Sprintf("%s%d", m.name, m.starts)}
	p.life, p.end = context.WithCancel(context.Background())
	m.process = p
	s.healthLocked()
}

// endLocked ends a process, by a signal or because it lost the Lease; the unit
// starts another.
func (s *sim) endLocked(p *process, how string) {
	if p.dead {
		return
	}
	s.noteLocked("%s ends: %s", p.name, how)
	p.dead = true
	p.end()
	s.after(time.Second+s.upToLocked(20*time.Second), func() { s.startLocked(p.m) })
	s.healthLocked()
}

func (s *sim) healthyLocked(p *process) bool {
	return !p.dead && p.m.paused == nil && p.m.noAPI == 0 && s.apiDown == 0
}

// healthLocked is called after whatever may make or unmake a leader. It does
// what the masters' electors would do, without their renewals.
func (s *sim) healthLocked() {
	if s.closed {
		return
	}
	p := s.holder
	if p == nil {
		s.after(s.upToLocked(electorTry), s.electLocked)
		return
	}
	if s.healthyLocked(p) {
		s.sick = time.Time{}
		return
	}
	if !s.sick.IsZero() {
		return
	}
	s.sick = time.Now()
	s.episode++
	episode := s.episode
	s.after(leaderEnds, func() { // what is stopped does not even notice
		if s.holder == p && s.episode == episode && !s.sick.IsZero() && p.m.paused == nil {
			s.endLocked(p, "could not renew the Lease")
		}
	})
	s.after(leaseLasts+s.upToLocked(electorTry), func() {
		if s.holder == p && s.episode == episode && !s.sick.IsZero() {
			s.holder, s.sick = nil, time.Time{}
			s.electLocked()
		}
	})
}

func (s *sim) electLocked() {
	if s.holder != nil {
		return
	}
	var fit []*process
	for _, m := range s.masters {
		if m.process != nil && m.process.rotator == nil && s.healthyLocked(m.process) {
			fit = append(fit, m.process)
		}
	}
	if len(fit) == 0 {
		return
	}
	p := fit[s.rand.IntN(len(fit))]
	s.holder = p
	s.noteLocked("%s leads", p.name)
	p.rotator = p.newRotator()
	s.wg.Go(func() { _ = p.rotator.Run(p.life) })
}

func (p *process) newRotator() *token.Rotator {
	s := p.m.s
	c := s.aws.Config("controller")
	c.HTTPClient = &http.Client{Transport: wire{p, s.aws.Transport()}, Timeout: 10 * time.Second}
	p.api = bundle.NewStore(ssm.NewFromConfig(c), "demo", simParameter, "")
	o := s.options
	o.Now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Now().Add(p.m.offset)
	}
	return token.NewRotator("demo", token.Deps{
		Secrets: simSecrets{p}, Store: p, Source: p, Confirm: p.confirm, Observer: p, Log: slog.New(slog.DiscardHandler),
	}, o)
}

// pauseLocked stops a machine for a while, as SIGSTOP or a hypervisor does.
func (s *sim) pauseLocked(m *master, d time.Duration) {
	if m.paused != nil {
		return
	}
	s.noteLocked("%s is stopped for %s", m.name, d)
	m.paused = make(chan struct{})
	s.healthLocked()
	s.after(d, func() {
		if m.paused == nil {
			return
		}
		s.noteLocked("%s goes on", m.name)
		close(m.paused)
		m.paused = nil
		s.healthLocked()
		// Its elector sees at its next attempt that the Lease is gone.
		if p := m.process; p != nil && p.rotator != nil && s.holder != p {
			notices := s.upToLocked(electorTry)
			if p.deluded {
				notices = s.upToLocked(5 * time.Minute)
			}
			s.after(notices, func() { s.endLocked(p, "lost the Lease while it was stopped") })
		}
	})
}

var (
	errDead    = errors.New("the process is dead")
	errRefused = errors.New("connection refused")
)

// pass is the moment before or after a call: the process may be stopped here,
// or die.
func (p *process) pass(name string) error {
	s := p.m.s
	s.mu.Lock()
	p.passes++
	if t := p.trap; t != nil {
		if name == "create" || name == "lease" {
			t.writing = false
		}
		if !t.writing {
			if t.left--; t.left <= 0 {
				s.noteLocked("%s is caught at %s", p.name, name)
				p.trap = nil
				t.spring(p)
			}
		}
	}
	for p.m.paused != nil && !p.dead {
		wake := p.m.paused
		s.mu.Unlock()
		<-wake
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if p.dead {
		return errDead
	}
	return nil
}

// call makes one call to the API server, or to SSM.
func (p *process) call(ctx context.Context, toSSM bool, name string, do func() error) error {
	if err := p.pass(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s := p.m.s
	s.mu.Lock()
	away, hangs := s.apiDown > 0 || p.m.noAPI > 0, s.hangs
	if toSSM {
		away = s.ssmDown > 0 || p.m.noSSM > 0
	}
	s.mu.Unlock()
	if away && hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if away {
		return errRefused
	}
	err := do()
	if dead := p.pass(name); dead != nil {
		return dead
	}
	return err
}

// confirm is leader.Election.Confirm.
func (p *process) confirm(ctx context.Context) error {
	s := p.m.s
	for range 2 { // read, then renew
		err := p.call(ctx, false, "lease", func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.holder != p && !p.deluded {
				return leader.ErrLost
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *process) Cluster(ctx context.Context) (bundle.Cluster, error) {
	c := bundle.Cluster{Name: "demo", Endpoint: "10.0.0.1:6443", CACert: simCA(), KubernetesVersion: "v1.37.2"}
	return c, p.call(ctx, false, "facts", func() error { return nil })
}

func (p *process) Rotated(r token.Reason)   { p.m.s.note("%s published (%s)", p.name, r) }
func (p *process) Published(_, _ time.Time) {}
func (p *process) Deleted(id string)        { p.m.s.note("%s deleted %s", p.name, id) }
func (p *process) Trouble(err error)        { p.m.s.note("%s: %v", p.name, err) }

// wire is a process's way to SSM.
type wire struct {
	p    *process
	next http.RoundTripper
}

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var out *http.Response
	err := w.p.call(r.Context(), true, action, func() (err error) {
		out, err = w.next.RoundTrip(r)
		if action == "PutParameter" {
			w.p.m.s.written()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// written is called after the parameter may have changed.
func (s *sim) written() {
	s.mu.Lock()
	s.version, s.changed = s.version+1, time.Now()
	s.mu.Unlock()
	if s.check != nil {
		s.check(s)
	}
}

// look reads the parameter as an agent would that SSM answers.
func (s *sim) look() (bundle.Stored, error) {
	s.mu.Lock()
	version := s.version
	if s.read == version {
		defer s.mu.Unlock()
		return s.cached, s.readErr
	}
	s.mu.Unlock()
	got, err := s.store.Get(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if version == s.version {
		s.read, s.cached, s.readErr = version, got, err
	}
	return got, err
}

// Get is bundle.Store's. A read that can only bring what was read before costs
// no request: a month has many.
func (p *process) Get(ctx context.Context) (bundle.Stored, error) {
	s := p.m.s
	s.mu.Lock()
	known := s.read == s.version && s.onWire == 0 && time.Since(s.changed) > s.aws.Weather.Stale
	s.mu.Unlock()
	if !known {
		return p.api.Get(ctx)
	}
	var out bundle.Stored
	err := p.call(ctx, true, "GetParameter", func() (err error) {
		out, err = s.look()
		return err
	})
	return out, err
}

func (p *process) Put(ctx context.Context, b *v1alpha1.JoinBundle) (int64, error) {
	return p.api.Put(ctx, b)
}

func (p *process) Check(b *v1alpha1.JoinBundle) error { return p.api.Check(b) }

// overwrite puts a text into the parameter, or nothing, past the masters.
func (s *sim) overwrite(text string) {
	var err error
	if text == "" {
		_, err = s.admin.DeleteParameter(context.Background(), &ssm.DeleteParameterInput{Name: aws.String(simParameter)})
		var absent *types.ParameterNotFound
		if errors.As(err, &absent) {
			err = nil
		}
	} else {
		_, err = s.admin.PutParameter(context.Background(), &ssm.PutParameterInput{
			Name: aws.String(simParameter), Value: &text, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
	}
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.version, s.changed = s.version+1, time.Now()
	s.mu.Unlock()
}

// simSecrets are the Secrets of kube-system as a process reaches them.
type simSecrets struct{ p *process }

func (c simSecrets) do(ctx context.Context, name string, f func(*sim) error) error {
	s := c.p.m.s
	return c.p.call(ctx, false, name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f(s)
	})
}

func gone(name string) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
}

func (c simSecrets) Create(ctx context.Context, in *corev1.Secret, _ metav1.CreateOptions) (*corev1.Secret, error) {
	x := in.DeepCopy()
	return x, c.do(ctx, "create", func(s *sim) error {
		if s.secrets[x.Name] != nil {
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "secrets"}, x.Name)
		}
		s.made++
		x.UID, x.CreationTimestamp = apitypes.UID(fmt.Sprintf("uid-%d", s.made)), metav1.NewTime(time.Now().Truncate(time.Second))
		s.secrets[x.Name] = x
		s.noteLocked("%s created %s", c.p.name, x.Name)
		return nil
	})
}

func (c simSecrets) Get(ctx context.Context, name string, _ metav1.GetOptions) (*corev1.Secret, error) {
	var out *corev1.Secret
	err := c.do(ctx, "get", func(s *sim) error {
		if out = s.secrets[name]; out == nil {
			return gone(name)
		}
		return nil
	})
	return out, err
}

func (c simSecrets) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	return c.do(ctx, "delete", func(s *sim) error {
		if x := s.secrets[name]; x == nil || x.UID != *o.Preconditions.UID {
			return gone(name)
		}
		delete(s.secrets, name)
		return nil
	})
}

// works says whether the API server accepts a token at the true time.
func (s *sim) worksLocked(id string, text v1alpha1.Secret) bool {
	x := s.secrets["bootstrap-token-"+id]
	if x == nil || text != "" && string(x.Data["token-secret"]) != text.Reveal()[7:] {
		return false
	}
	expires, err := time.Parse(time.RFC3339, string(x.Data["expiration"]))
	return err == nil && time.Now().Before(expires)
}

// standsLocked says whether the token's Secret is there, expired or not.
func (s *sim) standsLocked(text v1alpha1.Secret) bool {
	x := s.secrets["bootstrap-token-"+text.Reveal()[:6]]
	return x != nil && string(x.Data["token-secret"]) == text.Reveal()[7:]
}

// liveLocked counts the tokens that the API server accepts.
func (s *sim) liveLocked() int {
	n := 0
	for name := range s.secrets {
		if s.worksLocked(strings.TrimPrefix(name, "bootstrap-token-"), "") {
			n++
		}
	}
	return n
}
