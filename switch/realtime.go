package vswitch

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"time"
)

// realTimeWatch finds goroutines of applications that wait in real time. The
// world's clock cannot make them wait in virtual time, and whatever they do
// comes at another point in every run, so a run in which there is one must end.
//
// A goroutine in time.Sleep is seen in its state. One that a timer or ticker
// wakes through a channel looks like any other receiver while it waits; it is
// noticed by waking for a moment while everything ought to be at rest.
type realTimeWatch struct {
	before map[string]bool // goroutines that are older than the run
	next   time.Time       // of the next probe, in real time
	buf    *[]byte         // for dumps, the settler's

	looked  time.Time     // when glance last counted its credit, in real time
	credit  time.Duration // how long glance may look, of real time
	strange int           // goroutines outside the world then
	count   []metrics.Sample
	gogc    []metrics.Sample // the percentage of automatic garbage collection
}

const (
	probeEvery   = 50 * time.Millisecond // of real time
	probeLength  = time.Millisecond      // of real time
	glanceCredit = 2 * time.Millisecond  // of real time, for looks at sleepers; a 20th of what passes is added
)

// instead is what to use in place of real time.
const instead = "use the host's Sleep, AfterFunc, WithTimeout or deadlines, which run on the world's clock"

func (r *realTimeWatch) start(buf *[]byte) {
	r.buf = buf
	r.before = map[string]bool{}
	for _, g := range r.goroutines() {
		r.before[g.id] = true
	}
	r.next = time.Now()
	r.looked, r.credit = r.next, glanceCredit
	r.count = []metrics.Sample{{Name: "/sched/goroutines:goroutines"}}
	r.gogc = []metrics.Sample{{Name: "/gc/gogc:percent"}}
}

// goroutine is one goroutine of a dump of all.
type goroutine struct {
	id    string
	state string // "sleep", "chan receive", …, without how long
	stack string
}

// goroutines dumps all goroutines but the caller's.
func (r *realTimeWatch) goroutines() []goroutine {
	var gs []goroutine
	for part := range others(stacks(r.buf)) {
		if g, ok := parseGoroutine(part); ok {
			gs = append(gs, g)
		}
	}
	return gs
}

// stacks dumps all goroutines, the caller's first, into buf, which grows until all of the
// dump fits: what is left out would be taken for at rest. A goroutine has at most 100 calls
// in it, which is 10 kB or so.
func stacks(buf *[]byte) []byte {
	if *buf == nil {
		*buf = make([]byte, 1<<18)
	}
	n := runtime.Stack(*buf, true)
	for n == len(*buf) {
		*buf = make([]byte, 2*n)
		n = runtime.Stack(*buf, true)
	}
	return (*buf)[:n]
}

// others yields what a dump has about each goroutine but the first, which is the caller's.
func others(dump []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		_, rest, _ := bytes.Cut(dump, []byte("\n\n"))
		for part := range bytes.SplitSeq(rest, []byte("\n\n")) {
			if len(part) > 0 && !yield(part) {
				return
			}
		}
	}
}

// header reads the first line of what a dump has about a goroutine, for example
// "goroutine 12 [chan receive, 3 minutes]:". state is nil where there is no such line.
func header(part []byte) (id, state []byte) {
	head, _, _ := bytes.Cut(part, []byte("\n"))
	id, state, found := bytes.Cut(bytes.TrimPrefix(head, []byte("goroutine ")), []byte(" ["))
	if !found {
		return nil, nil
	}
	state, _, _ = bytes.Cut(bytes.TrimSuffix(state, []byte("]:")), []byte(","))
	return id, state
}

// parseGoroutine reads what a dump has about one goroutine.
func parseGoroutine(part []byte) (g goroutine, ok bool) {
	id, state := header(part)
	_, stack, found := bytes.Cut(part, []byte("\n"))
	return goroutine{string(id), string(state), string(stack)}, found && state != nil
}

// frame is one call in a goroutine's stack.
type frame struct{ fn, pos string }

func (g goroutine) frames() []frame {
	lines := strings.Split(g.stack, "\n")
	var fs []frame
	for i := 0; i+1 < len(lines); i += 2 {
		fn := strings.TrimPrefix(lines[i], "created by ")
		pos, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		fs = append(fs, frame{fn, pos})
	}
	return fs
}

// culprit returns the innermost call outside the standard library, gVisor and
// this package: the line of the application that waits. ok is false if there is none.
func culprit(fs []frame) (f frame, ok bool) {
	for _, f := range fs {
		if !f.library() {
			return f, true
		}
	}
	return frame{}, false
}

// library reports whether a call is in the runtime, the standard library, gVisor
// or this package. A package of the standard library has no dot in the first
// element of its path, and its files lie in src/ below the Go tree (or, with
// -trimpath, in a directory named like the package).
func (f frame) library() bool {
	slash := strings.LastIndex(f.fn, "/") + 1
	name, _, _ := strings.Cut(f.fn[slash:], ".")
	pkg := f.fn[:slash] + name
	if strings.HasPrefix(pkg, "gvisor.dev/") || strings.HasSuffix(pkg, "/vnreplay/switch") {
		return true
	}
	if first, _, _ := strings.Cut(pkg, "/"); strings.Contains(first, ".") {
		return false
	}
	for _, pkg := range []string{pkg, "runtime"} { // time.Sleep is in the runtime
		if strings.Contains(f.pos, "/src/"+pkg+"/") || strings.HasPrefix(f.pos, pkg+"/") {
			return true
		}
	}
	return false
}

// where describes a goroutine by the application's line it waits in.
func (g goroutine) where() string {
	fs := g.frames()
	f, ok := culprit(fs)
	for i := 0; !ok && i < len(fs); i++ { // all of it is library code: the innermost outside the runtime
		f, ok = fs[i], !strings.Contains(fs[i].pos, "/src/runtime/") && !strings.HasPrefix(fs[i].pos, "runtime/")
	}
	return f.pos + " [" + g.state + "]"
}

// parked reports whether the goroutine waits in a call of the world, or belongs
// to a stack.
func (g goroutine) parked() bool {
	return strings.Contains(g.stack, "/vnreplay/switch.(*Node).Do(") ||
		strings.Contains(g.stack, "gvisor.dev/gvisor/pkg/tcpip/transport/tcp.(*processor)")
}

// sleepers fails if a goroutine of the run is in time.Sleep, or waits for a real
// file or socket. Of the others, of which there may be thousands, it keeps nothing: no
// garbage is collected meanwhile.
func (r *realTimeWatch) sleepers(w *World) error {
	for part := range others(stacks(r.buf)) {
		if _, state := header(part); string(state) != "sleep" && string(state) != "IO wait" {
			continue
		}
		g, ok := parseGoroutine(part)
		if !ok || r.before[g.id] {
			continue
		}
		who := strings.TrimSuffix(g.where(), " ["+g.state+"]")
		if _, ok := culprit(g.frames()); !ok { // a library's, on behalf of one that waits for it
			if outside := r.outside(); outside != "" {
				who += ", perhaps for one of " + outside + ","
			}
		}
		if g.state == "sleep" {
			return w.explain(fmt.Errorf("%w: %s sleeps by the wall clock: %s", ErrRealTime, who, instead))
		}
		return w.explain(fmt.Errorf("%w: %s waits for a real file, pipe or socket: use the host's Dial, Listen and ListenPacket, and read files before the run", ErrRealTime, who))
	}
	return nil
}

// glance looks for sleepers when there may be new ones: when the number of
// goroutines that are not parked in a call of the world has changed since it was
// last looked, and that is a little while ago.
func (r *realTimeWatch) glance(w *World) error {
	metrics.Read(r.count)
	w.mu.Lock()
	strangers := int(r.count[0].Value.Uint64()) - len(w.waiting)
	w.mu.Unlock()
	if strangers == r.strange {
		return nil
	}
	began := time.Now()
	r.credit = min(r.credit+began.Sub(r.looked)/20, glanceCredit)
	r.looked = began
	if r.credit <= 0 {
		return nil
	}
	r.strange = strangers
	err := r.sleepers(w)
	r.credit -= time.Since(began)
	return err
}

// alone fails if an application has changed what the run set up (see seize): goroutines can
// run at the same time, or garbage is collected whenever.
func (r *realTimeWatch) alone(w *World) error {
	if p := runtime.GOMAXPROCS(0); p != 1 {
		return w.explain(fmt.Errorf("%w: GOMAXPROCS was set to %d during the run, and goroutines that run at the same time do so in another order in every run: leave it at 1", ErrRealTime, p))
	}
	metrics.Read(r.gogc)
	if percent := r.gogc[0].Value.Uint64(); percent != math.MaxUint64 { // which is -1
		return w.explain(fmt.Errorf("%w: debug.SetGCPercent was called with %d during the run, and automatic garbage collection reorders goroutines: call it before or behind the run", ErrRealTime, percent))
	}
	return nil
}

// inBubble reports whether the caller is in a bubble of testing/synctest.
func inBubble() bool {
	buf := make([]byte, 256)
	head, _, _ := bytes.Cut(buf[:runtime.Stack(buf, false)], []byte("\n"))
	return bytes.Contains(head, []byte("synctest bubble"))
}

// outside lists goroutines of the run that wait, but not in a call of the world.
func (r *realTimeWatch) outside() string {
	var s []string
	for _, g := range r.strangers(5) {
		s = append(s, g.where())
	}
	return strings.Join(s, ", ")
}

// strangers returns the goroutines of the run that are not parked in the world,
// at most so many, those of applications proper first.
func (r *realTimeWatch) strangers(most int) []goroutine {
	var apps, libs []goroutine
	for _, g := range r.goroutines() {
		if r.before[g.id] || g.parked() {
			continue
		}
		if _, ok := culprit(g.frames()); ok {
			apps = append(apps, g)
		} else {
			libs = append(libs, g)
		}
	}
	all := append(apps, libs...)
	return all[:min(len(all), most)]
}

// probeSometimes probes when the last probe is long enough ago.
func (r *realTimeWatch) probeSometimes(w *World) error {
	if time.Now().Before(r.next) {
		return nil
	}
	return r.probe(w)
}

// probe looks for sleepers and watches, for a moment in which everything is at
// rest, whether a goroutine of the run is woken all the same. The runtime's
// profile of blocking counts waits that ended, with the line that waited; while
// nothing of the world happens, no wait ends but those that real time ends. When
// probes happen is of no consequence to the run. They reset the process's block
// profile rate.
func (r *realTimeWatch) probe(w *World) error {
	if err := r.alone(w); err != nil {
		return err
	}
	began := time.Now()
	// With thousands of goroutines a look at them takes long: it does not take all the time.
	defer func() { r.next = time.Now().Add(max(probeEvery, 20*time.Since(began))) }()
	runtime.SetBlockProfileRate(1)
	before := waitsEnded()
	for start := time.Now(); time.Since(start) < probeLength; {
		runtime.Gosched()
	}
	after := waitsEnded()
	runtime.SetBlockProfileRate(0)
	if err := w.settler.settle(); err != nil {
		return w.explain(err)
	}
	if err := r.sleepers(w); err != nil {
		return err
	}
	if after.total == before.total {
		return nil
	}
	var woken []string
	for _, g := range r.strangers(1 << 20) {
		f, ok := culprit(g.frames())
		if ok && after.at[f.pos] > before.at[f.pos] && !slices.Contains(woken, f.pos) {
			woken = append(woken, f.pos)
		}
	}
	if len(woken) == 0 {
		return nil // older than the run: not the application's
	}
	slices.Sort(woken)
	return w.explain(fmt.Errorf("%w: a timer or ticker wakes a goroutine by the wall clock: %s: %s",
		ErrRealTime, strings.Join(woken, ", "), instead))
}

// waits counts the waits that ended, all, and by the application's line.
type waits struct {
	total int64
	at    map[string]int64
}

func waitsEnded() waits {
	n, _ := runtime.BlockProfile(nil)
	records := make([]runtime.BlockProfileRecord, n+16)
	n, _ = runtime.BlockProfile(records)
	ws := waits{at: map[string]int64{}}
	for _, rec := range records[:n] {
		var fs []frame
		for it := runtime.CallersFrames(rec.Stack()); ; {
			f, more := it.Next()
			fs = append(fs, frame{f.Function, fmt.Sprintf("%s:%d", f.File, f.Line)})
			if !more {
				break
			}
		}
		ws.total += rec.Count
		if f, ok := culprit(fs); ok {
			ws.at[f.pos] += rec.Count
		}
	}
	return ws
}

// busyGoroutines describes the goroutines that run or could run.
func busyGoroutines() string {
	r := &realTimeWatch{buf: new([]byte)}
	var s []string
	for _, g := range r.goroutines() {
		if g.state == "running" || g.state == "runnable" || g.state == "syscall" {
			s = append(s, g.where())
		}
	}
	return strings.Join(s, ", ")
}
