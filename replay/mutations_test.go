package replay_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// mutation is a live side that does what the capture says, in another way, or does
// something else.
type mutation struct {
	base, live string
	name       string
	app        replay.App // nil: the transcript
	from       func() *replay.Analysis
	wire       func() wire
	change     func(o *replay.Options)
	want       string // the kind of the first divergence; "" for none
}

// wire is what happens to a frame that the live side sends, or that is sent to it.
type wire struct {
	sent, got func(d *pcap.Decoded, f *vswitch.Frame) vswitch.Verdict
}

func (w wire) install(sw *vswitch.Switch) error {
	sw.AddRule("mutation", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to != nil {
			return v
		}
		side := w.got
		if strings.HasPrefix(f.From.Name(), "live-") {
			side = w.sent
		}
		if d := pcap.Decode(f.Data); side != nil && d.IP != nil {
			return side(d, f)
		}
		return v
	}))
	return nil
}

// TestMutationMatrix holds the verdicts on live sides that do harm, and on others
// that do none, against what they must be, and keeps them as a page to read.
func TestMutationMatrix(t *testing.T) {
	bases := mutationBases(t)
	list := append(httpMutations(bases["01"]), stackMutations(bases)...)
	list = append(list, orderMutations()...)
	var page [2]strings.Builder
	var n [2]int
	for i := range page {
		w := tabwriter.NewWriter(&page[i], 0, 8, 2, ' ', 0)
		for _, m := range list {
			if (m.want == "") != (i == 1) {
				continue
			}
			n[i]++
			t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
				r := run(t, bases[m.base], m.live, func(o *replay.Options) {
					o.Live[0].App = m.app
					if m.app != nil {
						o.Live[0].Name = m.name
					}
					if m.from != nil {
						o.Live[0].From = m.from()
					}
					if m.wire != nil {
						o.Wire = m.wire().install
					}
					if m.change != nil {
						m.change(o)
					}
				})
				out := text(t, r)
				switch {
				case m.want == "" && r.Verdict != replay.Same:
					t.Errorf("want the same:\n%s", out)
				case m.want != "" && (r.Verdict != replay.Diverged || r.Divergences[0].Kind != m.want):
					t.Errorf("want a divergence %q:\n%s", m.want, out)
				case m.app != nil && strings.Contains(out, "tests the stack only"):
					t.Errorf("no transcript was used:\n%s", out)
				}
				fmt.Fprintf(w, "%s\t%s\t%v\t%s\n", m.base, m.name, r.Verdict, why(r))
			})
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if n[0] < 30 || n[1] < 30 {
		t.Errorf("%d harmful and %d harmless ones, want 30 of each at least", n[0], n[1])
	}
	golden(t, "mutations.golden", fmt.Sprintf("harmful: %d, all must diverge\n\n%s\nharmless: %d, all must be the same\n\n%s", n[0], &page[0], n[1], &page[1]))
}

// mutationBases are the captures that live sides are held against.
func mutationBases(t *testing.T) map[string]*replay.Analysis {
	bases := map[string]*replay.Analysis{
		"01": load(t, "01-http-get-100k.a.pcapng"), "02a.b": load(t, "02a-http-loss.b.pcapng"), "06": load(t, "06-udp-echo-dns.a.pcapng"),
		"07": load(t, "07-ping-frag.a.pcapng"), "10": load(t, "10-interactive.a.pcapng"),
	}
	c := newCraft(t)
	one(narrowPath)(c)
	bases["narrow"] = c.analysis("narrow")
	for name, gap := range map[string]bool{"parallel": false, "sequential": true} {
		c := newCraft(t)
		var all []*conn
		for i := range 3 {
			k := c.conn(fmt.Sprintf("10.0.0.1:%d", 1001+i), "10.0.0.2:80")
			all = append(all, k)
			k.open()
			if gap {
				k.ask(i)
			}
		}
		for i, k := range all {
			if !gap {
				k.ask(i)
			}
		}
		bases[name] = c.analysis(name)
	}
	return bases
}

// ask asks the i-th question, gets an answer and closes.
func (k *conn) ask(i int) {
	k.say(0, seg{flags: "P", data: fmt.Sprintf("question %d\n", i)})
	k.wait(5 * ms)
	k.say(1, seg{flags: "P", data: fmt.Sprintf("answer %d\n", i)})
	k.close(0)
}

// narrowPath is a client whose path has a smaller MTU than its network.
func narrowPath(k *conn) {
	k.open()
	k.say(0, seg{data: letters(1460), lost: true})
	k.say(0, seg{data: letters(1460)})
	k.tooBig(0, 1200, 2920)
	k.tooBig(0, 1200, 1460)
	k.say(0, seg{data: letters(1160), back: 2920})
	k.say(0, seg{data: letters(2320)[1160:], back: 1760})
	k.say(0, seg{data: letters(2920)[2320:], back: 600})
	k.fill(1)
	k.say(1, seg{})
	k.say(1, seg{flags: "P", data: "ok"})
	k.say(0, seg{})
	k.close(0)
}

// orderMutations are clients that open three connections in other orders.
func orderMutations() (list []mutation) {
	client := func(atOnce bool, order ...int) replay.App {
		return func(ctx context.Context, h *vnetif.Host) error {
			var all []net.Conn
			for i := range order {
				c, err := h.DialContext(ctx, "tcp", "10.0.0.2:80")
				if err != nil {
					return err
				}
				all = append(all, c)
				if !atOnce {
					fmt.Fprintf(c, "question %d\n", order[i])
					hear(c, 9)
					c.Close()
				}
			}
			for i, c := range all {
				if atOnce {
					fmt.Fprintf(c, "question %d\n", order[i])
				}
			}
			for _, c := range all {
				if atOnce {
					hear(c, 9)
					c.Close()
				}
			}
			return nil
		}
	}
	add := func(base, name, want string, app replay.App) {
		list = append(list, mutation{base: base, live: "10.0.0.1", name: name, app: app, want: want})
	}
	add("parallel", "connections in the captured order", "", client(true, 0, 1, 2))
	add("parallel", "connections in reverse order", "", client(true, 2, 1, 0))
	add("parallel", "connections in another order", "", client(true, 1, 2, 0))
	add("parallel", "parallel connections one after another", "", client(false, 1, 2, 0))
	add("parallel", "a question twice, another never", "bytes", client(true, 0, 1, 1))
	add("parallel", "a question that nobody asked", "bytes", client(true, 0, 1, 7))
	add("parallel", "one connection too few", "missing", client(true, 0, 1))
	add("parallel", "one connection too many", "unexpected", client(true, 0, 1, 2, 2))
	add("sequential", "sequential connections in the captured order", "", client(false, 0, 1, 2))
	add("sequential", "sequential connections in another order", "bytes", client(false, 1, 0, 2))
	return list
}

// rewritten returns the edit that makes change to a frame's IP packet and puts its
// checksums right.
func rewritten(d *pcap.Decoded, f *vswitch.Frame, change func(ip, transport []byte)) []vswitch.Edit {
	old := append([]byte(nil), f.Data[14:]...)
	b := append([]byte(nil), old...)
	segment := b[d.IP.HeaderLen:d.IP.TotalLen]
	change(b[:d.IP.HeaderLen], segment)
	pcap.FillChecksum(d.IP, segment)
	if d.IP.Version == 4 {
		b[10], b[11] = 0, 0
		sum := uint32(0)
		for i := 0; i < d.IP.HeaderLen; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	}
	return []vswitch.Edit{{Offset: 14, Old: old, New: b}}
}
