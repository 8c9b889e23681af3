package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vnreplay/vnreplay/vnetif"
)

// maxThink bounds a pause of the transcript; it is less than [Patience].
const maxThink = 50 * time.Second

// burst is how close together two writes must be in the capture to become one.
const burst = time.Millisecond

// Transcript returns the application that says what addr says in a capture: it
// listens and dials as captured, writes each byte once it has received all bytes
// that addr had acknowledged before it said it, after the pause it made then (of
// what both were silent at most 50 s at a time), and closes or resets where the capture shows it. It does not look
// at what it receives.
func Transcript(a *Analysis, addr netip.Addr) App {
	return func(ctx context.Context, h *vnetif.Host) error {
		t := &transcript{h: h, addr: addr, start: h.Now().Add(headStart)}
		return t.run(a)
	}
}

type transcript struct {
	h     *vnetif.Host
	addr  netip.Addr
	start time.Time
}

// script is what one end says in one connection.
type script struct {
	conv  *Conversation
	end   int
	steps []step
	taken bool
}

// step is one thing said.
type step struct {
	need    int64 // bytes to have received before
	needFIN bool
	think   time.Duration
	data    []byte
	fin     bool
	rst     bool
}

func (t *transcript) run(a *Analysis) error {
	ports, refused := map[uint16][]*script{}, map[uint16][]*Conversation{}
	var order []uint16
	sockets := map[uint16]*talker{}
	for _, c := range a.Conversations {
		if c.Reason != "" {
			continue
		}
		end := -1
		for i := range c.Ends {
			if c.Ends[i].Addr() == t.addr && c.Ends[1-i].Addr() != t.addr {
				end = i
			}
		}
		if end < 0 {
			continue
		}
		name := fmt.Sprintf("transcript %v %d", t.addr, c.Number)
		switch {
		case c.Proto == TCP && (end == 0 || c.both):
			s := newScript(c, end)
			t.h.World().Background(name, func(ctx context.Context) error { t.dial(ctx, s); return nil })
		case c.Proto == TCP && c.Streams[1].syn != nil:
			port := c.Ends[1].Port()
			if ports[port] == nil {
				order = append(order, port)
			}
			ports[port] = append(ports[port], newScript(c, end))
		case c.Proto == TCP: // refused: nobody listens, and the stack says so
			refused[c.Ends[1].Port()] = append(refused[c.Ends[1].Port()], c)
		case c.Proto == UDP:
			if end == 1 && refuses(c.Datagrams, end) {
				continue // nobody listens, and the stack says so
			}
			port := c.Ends[end].Port()
			k := sockets[port]
			if k == nil {
				k = &talker{t: t, proto: UDP, network: "udp", local: c.Ends[end].String(), convs: map[netip.AddrPort]*talk{}}
				sockets[port] = k
				if err := k.open(name); err != nil {
					return err
				}
			}
			k.add(c, end)
		case end == 0:
			network := "ip4:icmp"
			if t.addr.Is6() {
				network = "ip6:ipv6-icmp"
			}
			k := &talker{t: t, proto: Echo, network: network, local: t.addr.String(), convs: map[netip.AddrPort]*talk{}}
			if err := k.open(name); err != nil {
				return err
			}
			k.add(c, end)
		}
	}
	for _, port := range order {
		if len(refused[port]) > 0 {
			t.sometimes(port, ports[port], refused[port])
			continue
		}
		if _, err := t.listen(port, ports[port]); err != nil {
			return err
		}
	}
	return nil
}

// newScript writes down what an end says in a connection.
func newScript(c *Conversation, end int) *script {
	s := &script{conv: c, end: end}
	own, peer := c.Streams[end], c.Streams[1-end]
	last, next := c.Start, 0
	// pause is how long the end was silent, with every silence of the other that is
	// longer than the transcript's patience cut short.
	pause := func(at time.Duration) (d time.Duration) {
		for ; next < len(peer.segments) && peer.segments[next].frame.At < at; next++ {
			if x := peer.segments[next].frame.At; x > last {
				d += min(x-last, maxThink)
				last = x
			}
		}
		return d + min(max(at-last, 0), maxThink)
	}
	add := func(st step, at time.Duration) {
		// The pause counts from the later of its own last word and the moment
		// at which what it waited for had arrived.
		if g := arrived(peer, st.need, st.needFIN); g > last {
			last = g
		}
		st.think = pause(at)
		last = max(at, last)
		if k := len(s.steps) - 1; k >= 0 && len(st.data) > 0 && len(s.steps[k].data) > 0 && st.think < burst &&
			s.steps[k].need == st.need && s.steps[k].needFIN == st.needFIN {
			s.steps[k].data = append(s.steps[k].data, st.data...)
			return
		}
		s.steps = append(s.steps, st)
	}
	for _, k := range own.chunks {
		add(step{need: k.need, needFIN: k.needFIN, data: slices.Clone(k.data)}, k.at)
	}
	switch {
	case own.FIN:
		add(step{need: own.fin.need, needFIN: own.fin.needFIN, fin: true}, own.fin.at)
	case own.RST:
		add(step{need: own.rst.need, needFIN: own.rst.needFIN, rst: true}, own.rst.at)
	}
	return s
}

// arrived returns when the first need bytes of a stream, and its FIN, had been
// captured.
func arrived(s *Stream, need int64, fin bool) time.Duration {
	if fin {
		return s.fin.seen
	}
	at := time.Duration(0)
	for _, k := range s.chunks {
		if k.from >= need {
			break
		}
		at = max(at, k.seen)
	}
	return at
}

// dial opens a connection as captured and says its script.
func (t *transcript) dial(ctx context.Context, s *script) {
	start := s.conv.Start
	if s.end == 1 {
		start = s.conv.Streams[1].segments[0].frame.At // both opened it
	}
	if t.h.Sleep(t.start.Add(start).Sub(t.h.Now())) != nil {
		return
	}
	to := s.conv.Ends[1-s.end].String()
	c, err := t.h.DialFrom(ctx, "tcp", s.conv.Ends[s.end], to)
	if err != nil && errors.Is(err, syscall.EADDRINUSE) {
		c, err = t.h.DialFrom(ctx, "tcp", netip.AddrPortFrom(t.addr, 0), to)
	}
	if err == nil {
		t.say(c, s)
	}
}

// listen takes the connections to a port and gives each its script: that of the
// captured peer's port, else the first that is left.
func (t *transcript) listen(port uint16, scripts []*script) (net.Listener, error) {
	l, err := t.h.Listen("tcp", netip.AddrPortFrom(t.addr, port).String())
	if err != nil {
		return nil, err
	}
	t.h.World().Background(fmt.Sprintf("transcript %v listens on %d", t.addr, port), func(context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			s := pick(scripts, c.RemoteAddr())
			if s == nil {
				c.Close()
				continue
			}
			s.taken = true
			t.h.World().Background(fmt.Sprintf("transcript %v %d", t.addr, s.conv.Number), func(context.Context) error { t.say(c, s); return nil })
		}
	})
	return l, nil
}

// sometimes listens on a port while it takes connections in the capture, and not
// while it refuses them.
func (t *transcript) sometimes(port uint16, scripts []*script, refused []*Conversation) {
	type attempt struct {
		at    time.Duration
		takes bool
	}
	var all []attempt
	for _, s := range scripts {
		all = append(all, attempt{s.conv.Start, true})
	}
	for _, c := range refused {
		all = append(all, attempt{c.Start, false})
	}
	slices.SortStableFunc(all, func(a, b attempt) int { return cmp.Compare(a.at, b.at) })
	t.h.World().Background(fmt.Sprintf("transcript %v at times listens on %d", t.addr, port), func(context.Context) error {
		var l net.Listener
		for i, x := range all {
			if x.takes == (l != nil) {
				continue
			}
			if i > 0 { // halfway between the two
				if err := t.h.Sleep(t.start.Add((all[i-1].at + x.at) / 2).Sub(t.h.Now())); err != nil {
					return nil
				}
			}
			if l != nil {
				l.Close()
				l = nil
				continue
			}
			var err error
			if l, err = t.listen(port, scripts); err != nil {
				return nil
			}
		}
		return nil
	})
}

func pick(scripts []*script, remote net.Addr) (first *script) {
	for _, s := range scripts {
		if s.taken {
			continue
		}
		if s.conv.Ends[0].String() == remote.String() {
			return s
		}
		if first == nil {
			first = s
		}
	}
	return first
}

// say says a script on a connection. What goes wrong is for the played side to
// notice.
func (t *transcript) say(c net.Conn, s *script) {
	defer c.Close()
	var (
		got int64
		eof bool
		buf = make([]byte, 64<<10)
	)
	read := func() bool {
		n, err := c.Read(buf)
		got += int64(n)
		eof = eof || err == io.EOF
		return err == nil
	}
	for _, st := range s.steps {
		for got < st.need || st.needFIN && !eof {
			if !read() && !eof || eof && got < st.need {
				return
			}
		}
		if st.think > 0 && t.h.Sleep(st.think) != nil {
			return
		}
		switch {
		case st.fin:
			if cw, ok := c.(interface{ CloseWrite() error }); !ok || cw.CloseWrite() != nil {
				return
			}
		case st.rst:
			if l, ok := c.(interface{ SetLinger(int) error }); ok {
				l.SetLinger(0)
			}
			return
		default:
			if _, err := c.Write(st.data); err != nil {
				return
			}
		}
	}
	for read() { // until the other side closes, or the replay ends
	}
	if eof && !s.conv.Streams[s.end].FIN {
		// The capture does not show this side closing: nor do we, before the end.
		t.h.Sleep(maxThink * 100)
	}
}
