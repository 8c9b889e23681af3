package replay_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/vnreplay/vnreplay/replay"
)

// one writes down one connection of IPv4.
func one(f func(k *conn)) func(c *craft) {
	return func(c *craft) { f(c.conn("10.0.0.1:1001", "10.0.0.2:80")) }
}

// TestCases replays, each side live, a small capture of each thing that TCP does.
func TestCases(t *testing.T) {
	const bulk = 4000
	var page strings.Builder
	w := tabwriter.NewWriter(&page, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "capture\tlive\tresult\twhy, or what was normalised")
	for _, x := range []crafted{
		{"client closes first", one(func(k *conn) { k.open(); k.talk(); k.close(0) }), ""},
		{"server closes first", one(func(k *conn) { k.open(); k.talk(); k.close(1) }), ""},
		{"half-closed", one(func(k *conn) {
			k.open()
			k.say(0, seg{flags: "P", data: letters(3000)[:1400]})
			k.say(0, seg{flags: "F", data: "end"})
			k.say(1, seg{})
			k.wait(time.Second)
			k.say(1, seg{flags: "P", data: "I say this after you have closed"})
			k.say(0, seg{})
			k.say(1, seg{flags: "F"})
			k.say(0, seg{})
		}), ""},
		{"both close at once", one(func(k *conn) {
			k.open()
			k.talk()
			k.say(0, seg{flags: "F", lost: true})
			k.say(1, seg{flags: "F"})
			k.fill(1)
			k.say(0, seg{})
			k.say(1, seg{})
		}), ""},
		{"the client resets", one(func(k *conn) { k.open(); k.talk(); k.say(0, seg{flags: "R"}) }), ""},
		{"the server resets", one(func(k *conn) { k.open(); k.talk(); k.say(1, seg{flags: "R"}) }), ""},
		{"the server resets a request", one(func(k *conn) {
			k.open()
			k.say(0, seg{flags: "P", data: "no"})
			k.say(1, seg{flags: "R"})
		}), ""},
		{"refused", one(func(k *conn) { k.say(0, seg{flags: "S-", options: mss}); k.say(1, seg{flags: "R"}) }), ""},
		{"refused, then not", func(c *craft) {
			k := c.conn("10.0.0.1:1000", "10.0.0.2:80")
			k.say(0, seg{flags: "S-", options: mss})
			k.say(1, seg{flags: "R"})
			c.wait(time.Second)
			one(func(k *conn) { k.open(); k.talk(); k.close(0) })(c)
			c.wait(time.Second)
			k = c.conn("10.0.0.1:1002", "10.0.0.2:80")
			k.say(0, seg{flags: "S-", options: mss})
			k.say(1, seg{flags: "R"})
		}, ""},
		{"a question captured twice", func(c *craft) {
			for range 2 {
				c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("question"), 1500)
			}
			c.udp("10.0.0.2:53", "10.0.0.1:1001", []byte("answer"), 1500)
		}, ""},
		{"a closed port", func(c *craft) {
			for range 3 {
				c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("question"), 1500)
				c.closed("10.0.0.1:1001", "10.0.0.2:53", []byte("question"))
			}
		}, ""},
		{"a closed port, asked twice at once", func(c *craft) {
			for range 2 {
				c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("question"), 1500)
			}
			for range 2 {
				c.closed("10.0.0.1:1001", "10.0.0.2:53", []byte("question"))
			}
		}, ""},
		{"a port that is closed after an answer", func(c *craft) {
			c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("question"), 1500)
			c.udp("10.0.0.2:53", "10.0.0.1:1001", []byte("answer"), 1500)
			c.wait(ms)
			for range 2 {
				c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("another"), 1500)
			}
			for range 2 {
				c.closed("10.0.0.1:1001", "10.0.0.2:53", []byte("another"))
			}
		}, ""},
		{"what follows a reset", one(func(k *conn) {
			k.open()
			k.say(0, seg{flags: "R-"})
			k.wait(time.Second)
			k.say(0, seg{flags: "P", data: "hello?"})
			k.say(1, seg{flags: "R-"})
		}), ""},
		{"port 0", func(c *craft) { c.udp("10.0.0.1:0", "10.0.0.2:53", []byte("hm"), 1500) }, "port 0 is nobody's"},
		{"never answered", one(func(k *conn) { k.say(0, seg{flags: "S-"}); k.wait(time.Second); k.say(0, seg{flags: "S-", back: 1}) }), "never answered in the capture"},
		{"still open at the end", one(func(k *conn) { k.open(); k.talk(); k.talk() }), ""},
		{"already open", one(func(k *conn) { k.talk(); k.close(0) }), "already open when the capture begins (frame 1 is its first)"},
		{"without the SYN", one(func(k *conn) {
			k.say(0, seg{flags: "S-", unseen: true})
			k.say(1, seg{flags: "S"})
			k.say(0, seg{})
			k.talk()
		}), "its SYN is not in the capture (frame 1 answers it)"},
		{"bytes that were not captured", one(func(k *conn) {
			k.open()
			k.talk()
			k.say(0, seg{flags: "P", data: letters(100), unseen: true})
			k.say(1, seg{flags: "P", data: "thanks"})
			k.say(0, seg{})
			k.close(0)
		}), "bytes 12..111 that 10.0.0.1:1001 sent were acknowledged (frame 8) and are not in the capture"},
		{"bytes that were not captured, nor acknowledged", one(func(k *conn) {
			k.open()
			k.talk()
			k.say(1, seg{data: letters(100), unseen: true})
			k.say(1, seg{flags: "P", data: "thanks"})
		}), "bytes 12..111 that 10.0.0.2:80 sent are not in the capture (frame 8 follows them)"},
		{"the same before a FIN", one(func(k *conn) {
			k.open()
			k.talk()
			k.say(0, seg{data: letters(100), unseen: true})
			k.say(0, seg{flags: "F"})
		}), "bytes 12..111 that 10.0.0.1:1001 sent are not in the capture (frame 8 follows them)"},
		{"data on the SYN", one(func(k *conn) {
			k.say(0, seg{flags: "S-", data: "early"})
			k.say(1, seg{flags: "S"})
			k.say(0, seg{})
			k.close(0)
		}), "its SYN carries data (frame 1; TCP Fast Open, RFC 7413)"},
		{"opened by both at once", one(func(k *conn) {
			k.say(0, seg{flags: "S-", options: mss, lost: true})
			k.say(1, seg{flags: "S-", options: mss, lost: true})
			k.fill(0)
			k.fill(1)
			k.say(0, seg{flags: "S", options: mss, back: 1})
			k.say(1, seg{flags: "S", options: mss, back: 1})
			k.talk()
			k.close(0)
		}), ""},
		{"SYN and answer sent again", one(func(k *conn) {
			k.say(0, seg{flags: "S-", options: mss})
			k.wait(time.Second)
			k.say(0, seg{flags: "S-", options: mss, back: 1})
			k.say(1, seg{flags: "S", options: mss})
			k.wait(time.Second)
			k.say(1, seg{flags: "S", options: mss, back: 1})
			k.say(0, seg{})
			k.talk()
			k.close(0)
		}), ""},
		{"a handshake captured out of order", one(func(k *conn) {
			k.say(0, seg{flags: "S-", options: mss})
			k.got[0] = k.next[1] + 1
			k.say(0, seg{})
			k.say(1, seg{flags: "S", options: mss})
			k.talk()
			k.close(0)
		}), ""},
		{"sent again, cut otherwise", one(func(k *conn) {
			k.open()
			k.say(0, seg{data: letters(1000)})
			k.say(0, seg{data: letters(1000)})
			k.wait(300 * time.Millisecond)
			k.say(0, seg{data: letters(2000)[500:1500], back: 1500})
			k.say(0, seg{flags: "P", data: letters(500)})
			k.say(1, seg{})
			k.say(1, seg{flags: "P", data: "ok"})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"reordered on the way", one(func(k *conn) {
			k.open()
			k.say(0, seg{data: letters(1000), ahead: 1000})
			k.say(1, seg{})
			k.say(0, seg{data: letters(1000), back: 2000})
			k.fill(1)
			k.say(1, seg{})
			k.say(1, seg{flags: "P", data: "ok"})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"lost and sent again after three duplicates", one(func(k *conn) {
			k.open()
			k.say(0, seg{data: letters(1000), lost: true})
			for range 4 {
				k.say(0, seg{data: letters(1000)})
				k.say(1, seg{})
			}
			k.say(0, seg{data: letters(1000), back: 5000})
			k.fill(1)
			k.say(1, seg{})
			k.say(1, seg{flags: "P", data: "ok"})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"lost before it was captured, and never sent again", one(func(k *conn) {
			k.open()
			k.talk()
			k.say(0, seg{data: letters(1000), unseen: true, lost: true})
			for range 2 {
				k.say(0, seg{data: letters(1000)})
				k.say(1, seg{})
			}
			k.say(0, seg{flags: "R", back: 3000})
		}), ""},
		{"zero window and probes", one(func(k *conn) {
			k.open()
			k.win[1] = bulk
			k.say(1, seg{})
			for i := 0; i < bulk; i += 1000 {
				k.say(0, seg{data: letters(1000)})
			}
			k.win[1] = 0
			k.say(1, seg{})
			for range 3 {
				k.wait(500 * time.Millisecond)
				k.say(0, seg{back: 1})
				k.say(1, seg{})
			}
			k.win[1] = 60000
			k.wait(100 * time.Millisecond)
			k.say(1, seg{})
			k.say(0, seg{flags: "P", data: letters(1000)})
			k.say(1, seg{flags: "P", data: "ok"})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"keepalives", one(func(k *conn) {
			k.open()
			k.talk()
			for range 3 {
				k.wait(30 * time.Second)
				k.say(0, seg{back: 1, data: ""})
				k.say(1, seg{})
				k.wait(30 * time.Second)
				k.say(1, seg{back: 1, data: "\n"})
				k.say(0, seg{})
			}
			k.talk()
			k.close(1)
		}), ""},
		{"urgent data", one(func(k *conn) {
			k.open()
			k.say(0, seg{flags: "PU", data: "interrupt!", urgent: 10})
			k.say(1, seg{})
			k.say(1, seg{flags: "PU", data: "!", urgent: 1})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"all options", one(func(k *conn) {
			k.say(0, seg{flags: "S-", options: []byte{2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0}})
			k.say(1, seg{flags: "S", options: []byte{2, 4, 5, 180, 1, 3, 3, 5, 4, 2, 8, 10, 0, 0, 0, 5, 0, 0, 0, 9}})
			stamp := []byte{1, 1, 8, 10, 0, 0, 0, 10, 0, 0, 0, 5}
			k.say(0, seg{options: stamp})
			k.say(0, seg{flags: "P", data: letters(1448), options: stamp})
			stamp = []byte{1, 1, 8, 10, 0, 0, 0, 6, 0, 0, 0, 10}
			k.say(1, seg{flags: "F", data: "ok", options: stamp})
			stamp = []byte{1, 1, 8, 10, 0, 0, 0, 11, 0, 0, 0, 6}
			k.say(0, seg{flags: "F", options: stamp})
			stamp = []byte{1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 11}
			k.say(1, seg{options: stamp})
		}), ""},
		{"no options", one(func(k *conn) {
			k.say(0, seg{flags: "S-"})
			k.say(1, seg{flags: "S"})
			k.say(0, seg{})
			k.say(0, seg{flags: "P", data: letters(536)})
			k.say(1, seg{flags: "P", data: letters(536)})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"ECN", one(func(k *conn) {
			k.say(0, seg{flags: "SEC-", options: mss})
			k.say(1, seg{flags: "SE", options: mss})
			k.say(0, seg{})
			k.say(0, seg{flags: "P", data: letters(1000), tos: 3}) // congestion experienced
			k.say(1, seg{flags: "E", tos: 0})
			k.say(0, seg{flags: "PC", data: letters(1000), tos: 2})
			k.say(1, seg{flags: "P", data: letters(500), tos: 3})
			k.say(0, seg{flags: "E"})
			k.close(0)
		}), ""},
		{"a path with a smaller MTU", one(narrowPath), ""},
		{"the same over IPv6", func(c *craft) {
			k := c.conn("[fd00::1]:1001", "[fd00::2]:80")
			k.open()
			k.say(0, seg{flags: "P", data: "much, please"})
			k.say(1, seg{data: letters(1440), lost: true})
			k.say(1, seg{data: letters(1440)})
			k.tooBig(1, 1300, 2880)
			k.say(1, seg{data: letters(1240), back: 2880})
			k.say(1, seg{data: letters(2480)[1240:], back: 1640})
			k.say(1, seg{data: letters(2880)[2480:], back: 400})
			k.fill(0)
			k.say(0, seg{})
			k.close(0)
		}, ""},
		{"a long way, seen at the client", one(func(k *conn) { k.far(300*ms, 0) }), ""},
		{"a long way, seen at the server", one(func(k *conn) { k.far(0, 300*ms) }), ""},
		{"a way around the world, seen in its middle", one(func(k *conn) { k.far(400*ms, 500*ms) }), ""},
		{"TCP in fragments", one(func(k *conn) {
			k.open()
			k.mtu = 576
			k.say(0, seg{flags: "P", data: letters(1400)})
			k.say(1, seg{flags: "P", data: letters(1400)})
			k.say(0, seg{})
			k.close(0)
		}), ""},
		{"over IPv6, in fragments", func(c *craft) {
			k := c.conn("[fd00::1]:1001", "[fd00::2]:80")
			k.open()
			k.mtu = 1280
			k.say(0, seg{flags: "P", data: letters(1400)})
			k.say(1, seg{flags: "P", data: letters(1400)})
			k.say(0, seg{})
			k.close(0)
		}, ""},
		{"datagrams in fragments", func(c *craft) {
			for range 3 {
				c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte(letters(5000)), 1500)
				c.udp("10.0.0.2:53", "10.0.0.1:1001", []byte(letters(3000)), 576)
				c.udp("10.0.0.2:53", "10.0.0.1:1001", []byte("and this"), 576)
			}
		}, ""},
	} {
		t.Run(x.name, func(t *testing.T) { fmt.Fprint(w, x.check(t)) })
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	golden(t, "cases.golden", page.String())
}

// far is a conversation over a long way: to answers of the server, and of the client.
func (k *conn) far(server, client time.Duration) {
	k.say(0, seg{flags: "S-", options: mss})
	k.wait(server)
	k.say(1, seg{flags: "S", options: mss})
	k.wait(client)
	k.say(0, seg{})
	for range 5 {
		k.say(0, seg{data: letters(1460)})
		k.say(0, seg{flags: "P", data: letters(700)})
		k.wait(server)
		k.say(1, seg{})
		k.say(1, seg{data: letters(1460)})
		k.say(1, seg{flags: "P", data: letters(1400)})
		k.wait(client)
		k.say(0, seg{})
	}
	k.say(0, seg{flags: "F"})
	k.wait(server)
	k.say(1, seg{flags: "F"})
	k.wait(client)
	k.say(0, seg{})
}

// TestManyConnections replays hundreds of connections that are open at once.
func TestManyConnections(t *testing.T) {
	c := newCraft(t)
	var all []*conn
	for i := range 300 {
		k := c.conn(fmt.Sprintf("10.0.0.%d:%d", 1+i%3, 2000+i), "10.0.0.9:80")
		all = append(all, k)
		k.open()
	}
	for _, f := range []func(k *conn){(*conn).talk, (*conn).talk, func(k *conn) { k.close(int(k.ends[0].Port()) % 2) }} {
		for _, k := range all {
			f(k)
		}
	}
	a := c.analysis("many")
	for _, word := range []string{replay.AllServers, replay.AllClients} {
		addrs, err := a.Choose(word)
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, a, addrs[0].String(), func(o *replay.Options) {
			for _, addr := range addrs[1:] {
				o.Live = append(o.Live, replay.Live{Addr: addr})
			}
		})
		if same, _, _, _ := r.Coverage(); r.Verdict != replay.Same || same != 300 || r.Retransmits+r.Synthetic > 0 {
			t.Errorf("%s:\n%s", word, text(t, r))
		}
	}
	r := run(t, a, "10.0.0.9", func(o *replay.Options) { o.Play = []netip.Addr{netip.MustParseAddr("10.0.0.2")} })
	if same, of, _, _ := r.Coverage(); r.Verdict != replay.Same || same != 100 || of != 100 || r.NotChosen != 200 {
		t.Errorf("one of three played:\n%s", text(t, r))
	}
}
