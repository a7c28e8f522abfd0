package awssim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// DefaultImageID is the machine image of instances and groups that name none.
const DefaultImageID = "ami-0a1b2c3d4e5f60718"

// Timing is how long the world takes for what takes AWS a while. All zero: what
// needs no machine happens at once.
type Timing struct {
	Boot     time.Duration // pending to running when there is no Hypervisor
	Shutdown time.Duration // shutting-down or stopping to its end when there is no Hypervisor
	Proceed  time.Duration // how long Pending:Proceed and Terminating:Proceed are visible
	Health   time.Duration // until a group sees that an instance stopped or was terminated behind its back

	Image time.Duration // pending to available of an image when there is no Hypervisor

	LaunchRetry time.Duration // between attempts of a group that cannot launch; 30 s when zero
	Remembered  time.Duration // how long terminated instances are still described; 1 h when zero
	Credentials time.Duration // validity of role credentials from IMDS; 6 h when zero
}

// World is one AWS account and region. The zero value is ready to use; its
// exported fields must not be changed after the first call. It is safe for
// concurrent use. Close it to stop its timers.
type World struct {
	Region    string   // us-west-2; decides the partition too, see Partition
	AccountID string   // 123456789012
	VPCID     string   // vpc-0123456789abcdef0
	Zones     []string // Region with a, b and c
	// CIDR is the address range that the subnets of all zones share; 10.99.0.0/24.
	CIDR string
	// FirstHost and LastHost are the first and last host number in CIDR given to
	// an instance; 11 and the last but one of the range.
	FirstHost, LastHost int
	Timing              Timing
	// Harsh makes the world do all that real AWS does at its worst, by Seed.
	// What is set in Timing and Weather stays.
	Harsh   bool
	Weather Weather
	// Hypervisor runs the instances; nil: they exist in the table only.
	Hypervisor Hypervisor
	// NoInstanceIdentity has the metadata service serve no credentials of the
	// instances' identity roles, as where EC2 does not have them.
	NoInstanceIdentity bool
	// Seed makes faults with a probability, and the identifiers of the world,
	// repeatable.
	Seed uint64
	// Log receives what a Hypervisor reports; nil: nothing is logged.
	Log *slog.Logger

	once   sync.Once
	mu     sync.Mutex         // guards all below; see the package comment
	ctx    context.Context    // ends with Close
	cancel context.CancelFunc // of ctx
	work   sync.WaitGroup     // goroutines that run the Hypervisor
	closed bool
	timers map[*time.Timer]struct{} // pending timers
	serial map[string]uint64        // kind of identifier -> how many were made
	random *rand.Rand               // for faults; repeatable
	chance *rand.Rand               // for the weather; repeatable
	calls  []Call
	faults []*fault

	moments []moment           // what the world was like of late, oldest first
	paging  map[string]*World  // service, action and role -> the world that its last read saw
	buckets map[string]*bucket // service and action -> what is left of its rate

	sessions  map[string]*session          // access key id -> its credentials
	roles     map[string]*session          // role -> what Credentials returned
	trusts    map[string][]string          // role -> the roles that may assume it, apart from EC2
	madeRoles map[string]*role             // name -> role that was made through IAM
	profiles  map[string]*instanceProfile  // name -> instance profile
	policies  map[string][]*policy         // role -> the policies that it is held to; none: administrator
	params    map[string]*parameter        // name -> parameter
	keys      map[string]*kmsKey           // key id -> key
	aliases   map[string]string            // alias/name -> key id
	types     map[string]InstanceType      // name -> type
	subnets   []subnet                     // one per zone
	nextHost  int                          // host number tried first for the next instance
	instances map[string]*instance         // id -> instance, terminated ones for a while
	order     []string                     // instance ids in launch order
	templates map[string]*launchTemplate   // id -> template
	groups    map[string]*group            // name -> group
	past      []*activity                  // activities of deleted groups
	tags      map[string]map[string]string // resource id -> tags, for resources other than instances and templates
	images    map[string]*Image            // id -> image, deregistered ones too
	snapshots map[string]*snapshot         // id -> snapshot
	volumes   map[string]*volume           // id -> volume
	keyPairs  map[string]*keyPair          // name -> key pair
	launches  map[string]*reservation      // client token -> what RunInstances answered
	signer    *identitySigner              // made when first needed

	securityGroups map[string]*securityGroup // id -> group
	queues         map[string]*queue         // name -> SQS queue

	eventQueue string // queue to which EventBridge sends lifecycle events; empty: none
	stateQueue string // the same of EC2's events about states
}

// start gives unset fields their defaults and makes the empty tables.
func (w *World) start() { w.once.Do(w.setUp) }

func (w *World) setUp() {
	setDefault(&w.Region, "us-west-2")
	setDefault(&w.AccountID, "123456789012")
	setDefault(&w.VPCID, "vpc-0123456789abcdef0")
	setDefault(&w.CIDR, "10.99.0.0/24")
	setDefault(&w.FirstHost, 11)
	setDefault(&w.Timing.LaunchRetry, 30*time.Second)
	setDefault(&w.Timing.Remembered, time.Hour)
	setDefault(&w.Timing.Credentials, 6*time.Hour)
	if len(w.Zones) == 0 {
		w.Zones = []string{w.Region + "a", w.Region + "b", w.Region + "c"}
	}
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	// The zero value is ready to use, so nobody is there to hand in a context;
	// Close is what ends this one.
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.timers = map[*time.Timer]struct{}{}
	w.serial = map[string]uint64{}
	w.random = rand.New(rand.NewPCG(w.Seed, 0x6a6f696e))
	w.setWeather()
	w.paging = map[string]*World{}
	w.buckets = map[string]*bucket{}
	w.sessions = map[string]*session{}
	w.roles = map[string]*session{}
	w.trusts = map[string][]string{}
	w.policies = map[string][]*policy{}
	w.madeRoles = map[string]*role{}
	w.profiles = map[string]*instanceProfile{}
	w.params = map[string]*parameter{}
	w.keys = map[string]*kmsKey{}
	w.aliases = map[string]string{}
	w.types = builtinTypes()
	w.instances = map[string]*instance{}
	w.templates = map[string]*launchTemplate{}
	w.groups = map[string]*group{}
	w.tags = map[string]map[string]string{}
	w.queues = map[string]*queue{}
	w.images = map[string]*Image{}
	w.snapshots = map[string]*snapshot{}
	w.volumes = map[string]*volume{}
	w.keyPairs = map[string]*keyPair{}
	w.launches = map[string]*reservation{}
	w.securityGroups = map[string]*securityGroup{}
	w.makeSubnets()
	w.putImageLocked(Image{ID: DefaultImageID})
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close stops all timers, cancels what the Hypervisor is doing and waits for
// it. The world then no longer changes by itself; reading it stays possible.
func (w *World) Close() {
	w.start()
	w.mu.Lock()
	w.closed = true
	for t := range w.timers {
		t.Stop()
	}
	clear(w.timers)
	w.cancel()
	w.mu.Unlock()
	w.work.Wait()
}

// afterLocked runs f under the lock once d has passed, unless the world is
// closed first. The returned function cancels it and needs the lock.
func (w *World) afterLocked(d time.Duration, f func()) (stop func()) {
	if w.closed {
		return func() {}
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, live := w.timers[t]; !live {
			return // stopped while it waited for the lock
		}
		delete(w.timers, t)
		w.changingLocked()
		f()
	})
	w.timers[t] = struct{}{}
	return func() {
		t.Stop()
		delete(w.timers, t)
	}
}

// soonLocked runs f now when d is zero, else after d.
func (w *World) soonLocked(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	w.afterLocked(d, f)
}

// idLocked makes the next identifier of a kind, such as "i-" and 17 hex digits
// as EC2 forms them.
func (w *World) idLocked(prefix string) string {
	return prefix + w.digestLocked(prefix)[:17]
}

// uuidLocked makes the next UUID-shaped identifier of a kind.
func (w *World) uuidLocked(kind string) string {
	d := w.digestLocked(kind)
	return strings.Join([]string{d[:8], d[8:12], "4" + d[13:16], "a" + d[17:20], d[20:32]}, "-")
}

func (w *World) digestLocked(kind string) string {
	w.serial[kind]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%s/%s/%d", w.Seed, w.AccountID, kind, w.serial[kind]))
	return hex.EncodeToString(sum[:])
}
