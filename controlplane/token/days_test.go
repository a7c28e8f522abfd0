package token_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

var (
	seeds = flag.Int("seeds", months, "how many months TestRotationDays lives through")
	seed  = flag.Uint64("seed", 0, "the one month that TestRotationDays lives through, with all that happens in it")
)

const (
	month = 30 * 24 * time.Hour
	// recovery is how long after the end of a trouble all must be well again.
	recovery = 2 * time.Minute
	// outage is how long nothing may be publishable before what was published
	// last stops to be good for a boot.
	outage = time.Hour
	// boot is how long an instance may take from reading the bundle to joining.
	boot = 25 * time.Minute
	// mostTokens is how many tokens may be alive at once however long nobody could
	// delete any: those of the hours that a TTL touches. Each rotation that was
	// forced out of turn may add one. quietTokens is how many there are when
	// nothing has happened for a while: the published one and its predecessor.
	mostTokens  = int(simTTL/time.Hour) + 1
	quietTokens = 2
	quiet       = 70 * time.Minute // an hour's rotation, and the next one's jitter
)

// TestRotationDays lives through months of hourly rotation with everything going
// wrong that may, at random. At every instant an instance that reads SSM and
// boots for up to 25 minutes can join, after an hour without SSM or API server
// too, few tokens live, and SSM does not go backwards.
func TestRotationDays(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for n := first; n <= last; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { liveThrough(t, n) })
		})
	}
}

func liveThrough(t *testing.T, n uint64) {
	s := newSim(n, 2+int(n%2))
	s.trace = *seed != 0
	d := &days{sim: s, reads: map[v1alpha1.Secret]time.Time{}, revoked: map[v1alpha1.Secret]bool{}}
	defer s.close()
	defer func() {
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Logf("replay: go test ./controlplane/token -run TestRotationDays -seed %d\nlast events:\n%s", n, strings.Join(s.events, "\n"))
		}
	}()
	s.check = func(*sim) { d.wrote() }
	s.run()
	end := time.Now().Add(month)
	trouble := time.Now().Add(time.Hour)
	bubble.Sleep(recovery)
	for d.failure() == nil && time.Now().Before(end) {
		if !time.Now().Before(trouble) {
			d.trouble()
			trouble = time.Now().Add(time.Duration(s.rand.ExpFloat64() * float64(2*time.Hour)))
		}
		d.minute()
		if time.Now().Minute() == 0 {
			s.aws.ForgetCalls()
		}
		bubble.Sleep(min(time.Minute, max(time.Until(trouble), time.Millisecond)))
	}
	if err := d.failure(); err != nil {
		t.Errorf("seed %d: %v", n, err)
	}
}

// days watches over a sim. Its fields are guarded by the sim's mutex.
type days struct {
	*sim
	calm     time.Time                     // since when a leader can reach everything; zero: it cannot
	spoiled  time.Time                     // when the parameter or the published Secret was last tampered with
	upset    time.Time                     // when a leader was last disturbed
	well     time.Time                     // when it was last calm and the published token good
	mended   bool                          // the last tampering was made good
	reads    map[v1alpha1.Secret]time.Time // token -> when an instance last read it
	revoked  map[v1alpha1.Secret]bool      // tokens whose Secrets were deleted by a fault
	known    int64                         // version of the parameter that is accounted for
	high     *v1alpha1.JoinBundle          // the newest that was ever published
	history  []*v1alpha1.JoinBundle
	forced   []time.Time // when a rotation was asked for, or made necessary
	firstErr error
}

func (d *days) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.firstErr
}

func (d *days) failLocked(format string, args ...any) {
	if d.firstErr == nil {
		d.firstErr = fmt.Errorf(format, args...)
		d.noteLocked("FAILED: %v", d.firstErr)
	}
}

func newerThan(a, b *v1alpha1.JoinBundle) bool {
	return a.IssuedAt.After(b.IssuedAt) || a.IssuedAt.Equal(b.IssuedAt) && a.TokenID() > b.TokenID()
}

// wrote is called after a master wrote, perhaps in vain.
func (d *days) wrote() {
	got, err := d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || got.Version == d.known {
		return
	}
	d.known = got.Version
	b := got.Bundle
	// When the newest was revoked and the parameter lost besides, nobody knows
	// any more that there was a newer one.
	forgotten := d.high != nil && !d.standsLocked(d.high.Token)
	if d.high != nil && newerThan(d.high, b) && !forgotten {
		d.failLocked("SSM went back from %s (%s) to %s (%s)", d.high.IssuedAt, d.high.TokenID(), b.IssuedAt, b.TokenID())
	}
	d.high = b
	d.history = append(d.history, b)
}

// tamper writes text past the masters; "" deletes the parameter.
func (d *days) tamper(what, text string) {
	d.overwrite(text)
	got, _ := d.look() // the version is told with an error too
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noteLocked("the parameter is tampered with: %s", what)
	d.known, d.spoiled, d.mended = got.Version, time.Now(), false
	d.forced = append(d.forced, time.Now())
}

// refreshLocked notes whether a leader can reach everything, or one that could
// lead if none does.
func (d *days) refreshLocked() {
	well := d.apiDown == 0 && d.ssmDown == 0 && d.throttled == 0
	if h := d.holder; h != nil && d.healthyLocked(h) {
		well = well && h.m.noSSM == 0
	} else {
		well = well && slices.ContainsFunc(d.masters, func(m *master) bool {
			return m.noSSM == 0 && m.process != nil && d.healthyLocked(m.process)
		})
	}
	switch {
	case !well:
		d.calm = time.Time{}
	case d.calm.IsZero():
		d.calm = time.Now()
	}
}

// minute checks what must hold at this instant.
func (d *days) minute() {
	got, err := d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshLocked()
	now := time.Now()
	past := func(t time.Time) bool { return now.Sub(t) >= recovery }
	d.forced = slices.DeleteFunc(d.forced, func(t time.Time) bool { return now.Sub(t) > simTTL })
	if n := d.liveLocked(); n > mostTokens+len(d.forced) {
		d.failLocked("%d tokens live, %d rotations were forced", n, len(d.forced))
	} else if n > quietTokens && len(d.forced) == 0 && !d.calm.IsZero() && now.Sub(d.calm) > quiet && now.Sub(d.upset) > quiet {
		d.failLocked("%d tokens live although nothing happened", n)
	}
	b := got.Bundle
	if err == nil {
		err = b.Usable("demo", now)
	}
	if err == nil && !d.worksLocked(b.TokenID(), b.Token) {
		err = fmt.Errorf("token %s does not work", b.TokenID())
	}
	if err == nil && d.high != nil && newerThan(d.high, b) && d.standsLocked(d.high.Token) {
		err = fmt.Errorf("a bundle of %s, after one of %s", b.IssuedAt, d.high.IssuedAt)
	}
	if err == nil && b.IssuedAt.After(now.Add(boot)) {
		err = fmt.Errorf("token %s is from the future: %s", b.TokenID(), b.IssuedAt)
	}
	if err == nil && b.ExpiresAt.Before(now.Add(boot)) {
		err = fmt.Errorf("token %s ends at %s", b.TokenID(), b.ExpiresAt)
	}
	if err == nil {
		d.mended = true
		if d.ssmDown == 0 {
			d.reads[b.Token] = now
		}
		if !d.calm.IsZero() && past(d.calm) {
			d.well = now
		}
	} else if !d.calm.IsZero() && past(d.calm) && past(d.spoiled) && (d.mended || past(d.upset)) {
		d.failLocked("an instance that reads SSM now: %v", err)
	} else if d.mended && now.Sub(d.well) <= outage {
		d.failLocked("an instance that reads SSM as soon as it can, %s after all was well: %v", now.Sub(d.well), err)
	}
	for text, at := range d.reads {
		id := text.Reveal()[:6]
		switch {
		case now.Sub(at) >= boot || d.revoked[text]:
			delete(d.reads, text)
		case !d.worksLocked(id, text):
			d.failLocked("an instance that read token %s at %s cannot join", id, at)
		}
	}
}

// lasting has a trouble last for a while.
func (d *days) lasting(what string, longest time.Duration, begin, end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	length := time.Second + d.upToLocked(longest)
	d.noteLocked("%s for %s", what, length)
	d.calm, d.upset = time.Time{}, time.Now()
	d.hangs = d.rand.IntN(3) == 0
	begin()
	d.healthLocked()
	d.after(length, func() {
		d.noteLocked("%s: over", what)
		end()
		d.upset = time.Now()
		d.healthLocked()
		d.refreshLocked()
	})
}

// trouble makes one thing go wrong.
func (d *days) trouble() {
	d.mu.Lock()
	kind, m := d.rand.IntN(14), d.masters[d.rand.IntN(len(d.masters))]
	leads := d.holder
	if leads != nil && d.rand.IntN(3) > 0 {
		m = leads.m
	}
	chance := d.rand.Float64()
	d.mu.Unlock()
	switch kind {
	case 0:
		d.inject("SSM throttles", awssim.Fault{Service: "ssm", Principal: "controller", Code: awssim.Throttle, Probability: 0.2 + 0.8*chance})
	case 1:
		d.lasting("SSM is down", time.Hour, func() { d.ssmDown++ }, func() { d.ssmDown-- })
	case 2:
		d.lasting("the API server is down", time.Hour, func() { d.apiDown++ }, func() { d.apiDown-- })
	case 3:
		d.lasting(m.name+" is cut off from the API server", time.Hour, func() { m.noAPI++ }, func() { m.noAPI-- })
	case 4:
		d.lasting(m.name+" is cut off from SSM", time.Hour, func() { m.noSSM++ }, func() { m.noSSM-- })
	case 5:
		d.revoke(chance < 0.5)
	case 6, 7:
		d.spoil()
	case 8:
		d.stepClock(m)
	case 9:
		action := []string{"PutParameter", "GetParameter"}[int(chance*2)]
		d.inject("answers to "+action+" are lost", awssim.Fault{Service: "ssm", Principal: "controller", Action: action, LoseAnswer: true, Probability: 0.7})
	case 10:
		d.ensnare(func(p *process) { d.endLocked(p, "killed") })
	case 11:
		d.ensnare(func(p *process) { d.pauseLocked(p.m, time.Second+d.upToLocked(3*time.Hour)) })
	case 12:
		d.ensnare(d.overtake)
	case 13:
		d.ask()
	}
}

func (d *days) inject(what string, f awssim.Fault) {
	remove := d.aws.Inject(f)
	d.lasting(what, 20*time.Minute, func() { d.throttled++; d.onWire++ }, func() { d.throttled--; d.onWire--; remove() })
}

// revoke deletes the published token's Secret, as an operator may.
func (d *days) revoke(seen bool) {
	got, err := d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		return
	}
	id := got.Bundle.TokenID()
	d.noteLocked("the Secret of token %s is deleted", id)
	delete(d.secrets, "bootstrap-token-"+id)
	d.revoked[got.Bundle.Token], d.spoiled, d.mended = true, time.Now(), false
	d.forced = append(d.forced, time.Now())
	if seen && d.holder != nil && d.healthyLocked(d.holder) {
		d.holder.rotator.Wake() // the watch
	}
}

// spoil tampers with the parameter.
func (d *days) spoil() {
	d.mu.Lock()
	kind, high, history := d.rand.IntN(6), d.high, d.history
	d.mu.Unlock()
	if high == nil {
		return
	}
	forged := *high
	switch kind {
	case 0:
		d.tamper("deleted", "")
	case 1:
		d.tamper("a placeholder", "changeme")
	case 2:
		forged.Token = v1alpha1.Secret(high.TokenID() + ".0000000000000000")
		d.tamper("another secret", encode(&forged))
	case 3:
		forged.IssuedAt, forged.ExpiresAt = high.IssuedAt.AddDate(1, 0, 0), high.ExpiresAt.AddDate(1, 0, 0)
		d.tamper("from the future", encode(&forged))
	default:
		old := history[max(0, len(history)-1-kind+3)]
		d.tamper("the bundle of "+old.IssuedAt.Format(time.TimeOnly), encode(old))
	}
}

func encode(b *v1alpha1.JoinBundle) string {
	text, err := b.Encode()
	if err != nil {
		panic(err)
	}
	return string(text)
}

// stepClock sets a master's clock wrong for some hours.
func (d *days) stepClock(m *master) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.offset = d.upToLocked(4*time.Minute) - 2*time.Minute
	d.noteLocked("the clock of %s is off by %s", m.name, m.offset)
	d.after(d.upToLocked(6*time.Hour), func() {
		d.noteLocked("the clock of %s is right again", m.name)
		m.offset = 0
	})
}

// ensnare has something happen to the leader between two of its next calls.
func (d *days) ensnare(spring func(*process)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == nil {
		return
	}
	d.holder.trap = &trap{left: 1 + d.rand.IntN(60), writing: d.rand.IntN(3) > 0, spring: func(p *process) {
		d.upset = time.Now()
		spring(p)
	}}
}

// overtake stops a leader for so short that the deadline of its round does not
// save it, and has its successor publish a newer token meanwhile. Half of the
// time it is told even then that it leads, as by an API server that was restored
// from a backup, so that only what it finds in SSM can stop it.
func (d *days) overtake(p *process) {
	length := 25*time.Second + d.upToLocked(30*time.Second)
	p.deluded = d.rand.IntN(2) == 0
	d.pauseLocked(p.m, length)
	d.after(length-5*time.Second, func() {
		if h := d.holder; h != nil && h != p {
			d.noteLocked("a rotation is asked of %s", h.name)
			d.forced = append(d.forced, time.Now(), time.Now()) // and one of the deluded
			h.rotator.Rotate()
		}
	})
}

// ask has an operator ask the leader for a rotation.
func (d *days) ask() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == nil {
		return
	}
	d.noteLocked("a rotation is asked for")
	d.forced = append(d.forced, time.Now())
	d.holder.rotator.Rotate()
}
