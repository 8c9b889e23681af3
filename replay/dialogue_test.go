package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// dialogue is what a client, side 0, and a server say on one connection.
type dialogue struct {
	port  int
	turns []speech
	end   string
	// changed is the byte that side says otherwise, if it is not -1.
	side    int
	changed int
}

// speech is one side's turn.
type speech struct {
	side, size, piece int
	pause             time.Duration
}

func drawDialogue(rt *rapid.T, port int, faults bool) *dialogue {
	d := &dialogue{port: port, changed: -1}
	side := rapid.IntRange(0, 1).Draw(rt, "first")
	for range rapid.IntRange(1, 8).Draw(rt, "turns") {
		most := rapid.SampledFrom([]int{10, 3000, 40000}).Draw(rt, "most")
		size := rapid.IntRange(1, most).Draw(rt, "size")
		d.turns = append(d.turns, speech{side, size, rapid.SampledFrom([]int{size, size/3 + 1, 1460}).Draw(rt, "piece"),
			time.Duration(rapid.SampledFrom([]int{0, 0, 3, 250, 5000}).Draw(rt, "pause")) * ms})
		side = 1 - side
	}
	ends := []string{"client closes", "server closes", "both close", "half close"}
	if !faults {
		ends = append(ends, "reset") // once lost, nobody knows of it
	}
	d.end = rapid.SampledFrom(ends).Draw(rt, "end")
	return d
}

// said is all that a side says.
func (d *dialogue) said(side int) []byte {
	n := 0
	for _, s := range d.turns {
		if s.side == side {
			n += s.size
		}
	}
	if d.end == "half close" && side == 1 {
		n += 2000
	}
	b := apps.RandomBytes(int64(n), uint64(d.port), fmt.Sprint(side))
	if d.changed >= 0 && d.side == side {
		b[d.changed] ^= 0x40
	}
	return b
}

// speak does a side's part on a connection.
func (d *dialogue) speak(h *vnetif.Host, c *vnetif.Conn, side int) error {
	own := d.said(side)
	say := func(b []byte, piece int) error {
		for len(b) > 0 {
			n := min(piece, len(b))
			if _, err := c.Write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}
	for _, s := range d.turns {
		if s.side != side {
			if _, err := io.ReadFull(c, make([]byte, s.size)); err != nil {
				return err
			}
			continue
		}
		if err := h.Sleep(s.pause); err != nil {
			return err
		}
		if err := say(own[:s.size], s.piece); err != nil {
			return err
		}
		own = own[s.size:]
	}
	rest := func() error { _, err := io.Copy(io.Discard, c); return err }
	switch first := d.end == "client closes" && side == 0 || d.end == "server closes" && side == 1; {
	case d.end == "reset" && d.turns[len(d.turns)-1].side != side:
		h.Sleep(100 * ms)
		c.SetLinger(0)
		return c.Close()
	case d.end == "reset":
		rest()
		return c.Close()
	case d.end == "half close" && side == 0:
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if err := rest(); err != nil {
			return err
		}
	case d.end == "half close":
		if err := rest(); err != nil {
			return err
		}
		if err := say(own, 700); err != nil {
			return err
		}
	case d.end == "both close", first:
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if err := rest(); err != nil {
			return err
		}
	default:
		if err := rest(); err != nil {
			return err
		}
	}
	return c.Close()
}

// dialogues is a client and a server that have several dialogues, at once or one
// after the other.
type dialogues struct {
	all    []*dialogue
	atOnce bool
}

func (ds dialogues) client() replay.App {
	return func(ctx context.Context, h *vnetif.Host) error {
		errs := make(chan error, len(ds.all))
		for _, d := range ds.all {
			talk := func() {
				c, err := h.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", serverAddr, d.port))
				if err == nil {
					err = d.speak(h, c.(*vnetif.Conn), 0)
				}
				errs <- err
			}
			if ds.atOnce {
				go talk()
			} else {
				talk()
			}
		}
		var err error
		for range ds.all {
			err = errors.Join(err, <-errs)
		}
		return err
	}
}

func (ds dialogues) server() replay.App {
	return func(ctx context.Context, h *vnetif.Host) error {
		errs := make(chan error, len(ds.all))
		for _, d := range ds.all {
			l, err := h.Listen("tcp", fmt.Sprintf(":%d", d.port))
			if err != nil {
				return err
			}
			go func() {
				c, err := l.Accept()
				if err == nil {
					err = d.speak(h, c.(*vnetif.Conn), 1)
				}
				errs <- err
			}()
		}
		var err error
		for range ds.all {
			err = errors.Join(err, <-errs)
		}
		return err
	}
}

// TestDialogues records what two applications of random sizes, pauses, closes and
// faults say to each other, and replays each side live with its application: the
// same. With one byte of what it says changed, it differs at exactly that byte.
func TestDialogues(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.Bool().Draw(rt, "faults")
		ds := dialogues{atOnce: rapid.Bool().Draw(rt, "at once")}
		for i := range rapid.IntRange(1, 3).Draw(rt, "connections") {
			ds.all = append(ds.all, drawDialogue(rt, 8000+i, faults))
		}
		p := pair{name: "dialogues", client: ds.client, server: ds.server, view: rapid.SampledFrom([]string{"", "client", "server"}).Draw(rt, "view")}
		seed := rapid.Uint64Range(0, 1<<32).Draw(rt, "seed")
		if faults {
			r := vswitch.NewRand(seed, "test faults")
			p.fault = func(f *vswitch.Frame) (v vswitch.Verdict) {
				if r.Uint32N(1000) >= 20 || f.Data[12] == 8 && f.Data[13] == 6 {
					return v // ARP is not played: what waits for it in the capture does not now
				}
				switch r.Uint32N(4) {
				case 0, 1:
					v.Drop = true
				case 2:
					v.Copies, v.Gap = 1, ms
				case 3:
					v.Delay = 2 * ms
				}
				return v
			}
		}
		a := record(rt, p, seed)
		replayed := func(side int) *replay.Report {
			return run(rt, a, []string{clientAddr, serverAddr}[side], func(o *replay.Options) {
				o.Seed = seed + 1
				o.Live[0].App = []func() replay.App{ds.client, ds.server}[side]()
			})
		}
		about := func(r *replay.Report) string {
			var s strings.Builder
			for _, d := range ds.all {
				fmt.Fprintf(&s, "%+v\n", *d)
			}
			return fmt.Sprintf("%s%s\nview %q, at once %v\n%s", text(rt, r), ofConversation(a, r), p.view, ds.atOnce, s.String())
		}
		for side := range 2 {
			if r := replayed(side); r.Verdict != replay.Same {
				rt.Fatalf("side %d live:\n%s", side, about(r))
			}
		}
		d := rapid.SampledFrom(ds.all).Draw(rt, "dialogue")
		d.side = rapid.IntRange(0, 1).Draw(rt, "changed side")
		n := len(d.said(d.side))
		if n == 0 {
			return
		}
		before := d.said(d.side)
		d.changed = rapid.IntRange(0, n-1).Draw(rt, "changed")
		r := replayed(d.side)
		if r.Verdict != replay.Diverged {
			rt.Fatalf("byte %d of port %d changed, verdict %v:\n%s", d.changed, d.port, r.Verdict, about(r))
		}
		x := r.Divergences[0]
		if x.Kind != "bytes" || x.Offset != int64(d.changed) || int(x.Conversation.Ends[1].Port()) != d.port || !bytes.Equal(x.Expected[:1], before[d.changed:d.changed+1]) {
			rt.Fatalf("byte %d of port %d changed:\n%s", d.changed, d.port, about(r))
		}
	})
}

// TestCopyOfAFIN replays a connection whose FIN came twice, first beyond a gap: gVisor
// takes no notice of that one, so what the server says then waits for the second.
func TestCopyOfAFIN(t *testing.T) {
	ds := dialogues{all: []*dialogue{{port: 8000, turns: []speech{{0, 11000, 1460, 0}}, end: "half close", changed: -1}}}
	p := pair{name: "copy", client: ds.client, server: ds.server}
	n := 0
	p.fault = func(f *vswitch.Frame) (v vswitch.Verdict) {
		d := pcap.Decode(f.Data)
		switch {
		case d.TCP == nil || d.TCP.DstPort != 8000:
		case d.TCP.Flags.Has(pcap.FIN):
			v.Copies, v.Gap = 1, ms
		case len(d.Payload) > 0:
			n++
			v.Drop = n == 5
		}
		return v
	}
	a := record(t, p, 1)
	for side, addr := range []string{clientAddr, serverAddr} {
		r := run(t, a, addr, func(o *replay.Options) { o.Live[0].App = []func() replay.App{ds.client, ds.server}[side]() })
		if r.Verdict != replay.Same {
			t.Errorf("%s live:\n%s\n%s", addr, text(t, r), ofConversation(a, r))
		}
	}
}
