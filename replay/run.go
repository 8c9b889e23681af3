package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// How a played side waits, on the world's clock.
const (
	// Patience is how long the live side may keep the played side waiting, if
	// [Options.Patience] does not say otherwise.
	Patience = 60 * time.Second
	// StallDelay is how long bytes of the live side stay unacknowledged when the
	// next captured segment waits for more of them. It is under every stack's
	// smallest retransmission timeout.
	StallDelay = 40 * time.Millisecond
	// SplitDelay is the same when it waits for the rest of what it acknowledges, and
	// two segments or more have come: receivers acknowledge at least every second
	// (RFC 9293, 3.8.6.3).
	SplitDelay = 10 * time.Microsecond
	// AckDelay is the same when the next captured segment only waits for its time,
	// at least: over a way whose handshake took longer, it is 5/4 of that, at most
	// maxAckDelay.
	AckDelay    = 150 * time.Millisecond
	maxAckDelay = 3 * time.Second
	// Linger is how long the world goes on after the last conversation, for what
	// should not follow, if [Options.Linger] does not say otherwise.
	Linger = 2 * time.Second
	// headStart is how long live applications have before the first frame.
	headStart = time.Millisecond
)

// Errors of [Run] that are the caller's. Compare with [errors.Is].
var (
	ErrNoLive     = errors.New("no live address")
	ErrNotInThere = errors.New("address not in the capture")
)

// App is the application of a live side. It is called when the world starts,
// on a goroutine of the world, and may block. When the replay is over its context
// is cancelled and its calls return net.ErrClosed, which it may return then. Any
// other error is a divergence, and so is that one before.
type App func(ctx context.Context, h *vnetif.Host) error

// Live chooses an address of the capture to be live.
type Live struct {
	Addr netip.Addr
	// App is its application; nil for the transcript of From.
	App App
	// Name is how reports call the application; "" for "transcript".
	Name string
	// From is the capture whose transcript the application says; nil for the
	// one that is played.
	From *Analysis
	// Behind, if not nil, is the port behind which the address is: it has a stack and
	// applications already, and what is above is not looked at. Several addresses can be behind one.
	Behind *Outside
}

// Options describe a replay.
type Options struct {
	Live []Live
	// Play, if not empty, are the addresses that may be played: conversations
	// with others are left out, and counted in Report.NotChosen.
	Play []netip.Addr
	// Wire, if not nil, is called once the replay's machines are on their switch,
	// before anything is sent: to add rules, which then act on the frames of live
	// and played machines alike. Ports are named "live-" or "played-" and the
	// machine's first address, with - for : and . for %.
	Wire func(sw *vswitch.Switch) error
	// Seed is the world's.
	Seed uint64
	// Limit and WallLimit are the world's (see vswitch.Config). The default of
	// Limit is the world's and the time the capture took.
	Limit, WallLimit time.Duration
	// Patience is how long a live side may keep the played side waiting; the default is
	// [Patience].
	Patience time.Duration
	// Linger is how long the world goes on after the last conversation; the default is
	// [Linger].
	Linger time.Duration
	// Ready, if not nil, is called in real time when all live addresses are found, before
	// anything is played: who is to open conversations may do so from now on. What the live
	// side sends meanwhile waits for its return, so it must not take long.
	Ready func()
	// Recorder, if any, is told of every frame of the replay.
	Recorder vswitch.Recorder
	// AllowPartial accepts conversations of a live address that cannot be
	// replayed, a capture that is cut, and frames captured too short to tell whose they
	// are; the verdict is otherwise [Partial].
	AllowPartial bool
	// Masks leave parts of what live sides say out of the comparison.
	Masks []*Mask
	// Compare is what is compared; the default is [CompareStream].
	Compare Compare
	// Budget bounds what live sides may do besides.
	Budget Budget
	// Within is how near to the capture times must be; the default is not to look.
	Within Tolerance
}

// Run replays a capture, in real time if a live address is outside ([Outside]), else in
// virtual time. The error is about the options ([ErrNoLive], [ErrNotInThere], ports that
// cannot be made) or a live address outside that is not there ([ErrNoAnswer]); whatever
// happens in the replay itself is in the report.
func Run(ctx context.Context, a *Analysis, o Options) (*Report, error) {
	e, err := newEngine(a, o)
	if err != nil {
		return nil, err
	}
	defer e.world.Close()
	var runErr error
	if len(e.peers) > 0 {
		runErr = e.world.Run(ctx, e.main)
		e.close()
		if errors.Is(runErr, ErrNoAnswer) {
			return nil, runErr
		}
	}
	e.report.finish(e, runErr)
	return e.report, nil
}

// close ends the players' part: what is still under way finds nobody.
func (e *engine) close() {
	if !e.enter() {
		return
	}
	for _, p := range e.peers {
		p.stop()
	}
	e.look()
	e.turn.over = true
	e.leave()
}

// engine is one replay.
type engine struct {
	a       *Analysis
	o       Options
	world   *vswitch.World
	sw      *vswitch.Switch
	node    *vswitch.Node // for the wait of main
	clock   vswitch.Clock
	peers   []peer
	live    map[netip.Addr]*liveHost
	played  map[netip.Addr]*station
	report  *Report
	active  int
	wait    vswitch.Op
	over    bool
	recent  time.Time // of the last progress of any peer
	mtu     int
	tags    map[vswitch.MAC][]byte // of live machines
	tagRoom int                    // bytes of tags beyond the first
	started time.Time
	watcher *watcher
	judges  map[*Played]*frameJudge
	current []byte // the frame of the live side that is being looked at

	// In real time.
	real     bool
	turn     serial
	outside  map[*Outside]*outPort
	outPorts []*outPort
	awaited  []*liveHost   // outside
	found    chan struct{} // all of these are
	// What is added to the played side's numbers and timestamps: those of a connection
	// that a real kernel remembers are older (RFC 6191, RFC 9293, 3.4.1).
	addSeq, addStamp uint32
}

// liveHost is a host with one or several live addresses.
type liveHost struct {
	*vnetif.Host // nil for one outside
	out          *outPort
	port         *vswitch.Port
	mac          vswitch.MAC // of one outside: zero until it is found
	addrs        []netip.Addr
	tags         []byte
}

// peer plays one conversation.
type peer interface {
	start()
	stop()
	conversation() *Played
}

func newEngine(a *Analysis, o Options) (*engine, error) {
	if len(o.Live) == 0 {
		return nil, fmt.Errorf("%w: choose one of the capture's with --live ADDR", ErrNoLive)
	}
	masks, err := masksOf(o.Masks)
	if err != nil {
		return nil, err
	}
	real := slices.ContainsFunc(o.Live, func(l Live) bool { return l.Behind != nil })
	if o.Compare == CompareFrames {
		if real {
			return nil, fmt.Errorf("%w, and played to this program's stack: compare the streams of a live side outside", ErrForeign)
		}
		if err := a.comparable(o.Seed); err != nil {
			return nil, err
		}
	}
	limit := o.Limit
	if n := len(a.Capture.Frames); limit == 0 && n > 0 {
		limit = vswitch.DefaultLimit + min(a.Capture.Frames[n-1].At, math.MaxInt64/4)
	}
	if o.Patience <= 0 {
		o.Patience = Patience
	}
	if o.Linger <= 0 {
		o.Linger = Linger
	}
	e := &engine{
		a: a, o: o, real: real, outside: map[*Outside]*outPort{}, found: make(chan struct{}, 1), live: map[netip.Addr]*liveHost{}, played: map[netip.Addr]*station{}, report: newReport(a, o), tags: map[vswitch.MAC][]byte{}, judges: map[*Played]*frameJudge{},
		world: vswitch.NewWorld(vswitch.Config{Seed: o.Seed, RealTime: real, Limit: limit, WallLimit: o.WallLimit, Start: a.Capture.start()}),
	}
	e.report.masks = masks
	if err := e.build(); err != nil {
		e.world.Close()
		return nil, err
	}
	return e, nil
}

func (e *engine) build() (err error) {
	if e.sw, err = e.world.NewSwitch(vswitch.SwitchConfig{Name: "replay", Recorder: e.o.Recorder}); err != nil {
		return err
	}
	if e.node, err = e.world.NewNode("replay"); err != nil {
		return err
	}
	e.clock = e.node.AppClock(0)
	plan, err := e.plan()
	if err != nil {
		return err
	}
	for _, h := range plan.hosts {
		add := e.addHost
		if h.behind != nil {
			add = e.addOutside
		}
		if err := add(h); err != nil {
			return err
		}
	}
	for _, s := range plan.stations {
		if err := e.addStation(s); err != nil {
			return err
		}
	}
	e.watch()
	if e.o.Wire != nil {
		if err := e.o.Wire(e.sw); err != nil {
			return err
		}
	}
	for _, c := range plan.conversations {
		p := e.newPeer(c.conv, c.live)
		e.peers = append(e.peers, p)
		e.report.Conversations = append(e.report.Conversations, p.conversation())
	}
	e.active = len(e.peers)
	for _, l := range e.o.Live {
		if l.Behind == nil {
			e.addApp(l)
		}
	}
	return nil
}

// addApp gives a live address its application.
func (e *engine) addApp(l Live) {
	app, h := l.App, e.live[l.Addr]
	if app == nil {
		from := l.From
		if from == nil {
			from = e.a
		}
		app = Transcript(from, l.Addr)
	}
	e.world.Background("app "+l.Addr.String(), func(ctx context.Context) error {
		err := app(ctx, h.Host)
		ending := ctx.Err() != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled))
		if err != nil && !ending && e.enter() {
			e.report.appFailed(e, l, err)
			e.leave()
		}
		return nil
	})
}

func (e *engine) newPeer(c *Conversation, live int) peer {
	p := &Played{
		e: e, Conversation: c, Live: live, me: 1 - live,
		st: e.played[c.Ends[1-live].Addr()], host: e.live[c.Ends[live].Addr()],
		local: c.Ends[1-live], remote: c.Ends[live],
	}
	p.clock = e.clockOf(p.st.node)
	if c.Proto == TCP {
		return newTCPPeer(p)
	}
	return newDatagramPeer(p)
}

// main is the world's main application: it starts the peers and waits until all
// conversations are over.
func (e *engine) main(ctx context.Context) error {
	if e.real {
		if err := e.find(ctx); err != nil {
			return err
		}
	}
	e.wait = vswitch.Op{Kind: vswitch.OpSleep, Try: e.isOver, What: func() string { return "the end of the conversations" }}
	if !e.enter() {
		return net.ErrClosed
	}
	if e.real && e.o.Ready != nil {
		e.o.Ready() // in the engine's turn: what comes of it finds its conversation
	}
	e.started = e.world.Now().Add(headStart)
	e.recent = e.started
	if e.real {
		e.addSeq, e.addStamp = uint32(e.started.UnixMicro()/4), uint32(e.started.UnixMilli())
	}
	for _, p := range e.peers {
		p.start()
	}
	e.leave()
	return e.node.Do(&e.wait)
}

func (e *engine) isOver() bool {
	if !e.enter() {
		return true
	}
	defer e.leave()
	return e.over
}

// finished is called by each peer once, when its conversation is over.
func (e *engine) finished() {
	if e.active--; e.active > 0 {
		return
	}
	e.report.Virtual = e.sinceStart()
	if e.real {
		e.report.Virtual = e.world.Now().Sub(e.started)
	}
	e.clock.AfterFunc(e.o.Linger, func() {
		if !e.enter() {
			return
		}
		e.over = true
		e.leave()
		e.node.Wake(&e.wait)
	})
}

// sinceStart is the time on the world's clock, from its start.
func (e *engine) sinceStart() time.Duration { return e.world.Now().Sub(e.world.Start()) }

// at returns the instant of the replay that corresponds to one of the capture.
func (e *engine) at(d time.Duration) time.Time { return e.started.Add(d) }
