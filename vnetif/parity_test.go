package vnetif_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// The tests here and those of raw_test.go hold the table in docs/mirage.md.

// An interface's address follows from the number of its port.
func TestAddressesFollowFromPortNumbers(t *testing.T) {
	var runs [2][]vswitch.MAC
	for i := range runs {
		w := vswitch.NewWorld(vswitch.Config{Seed: uint64(i)})
		for range 2 { // two switches: port numbers are the world's
			sw, err := w.NewSwitch(vswitch.SwitchConfig{})
			must(t, err)
			for range 3 {
				r, err := vnetif.NewRaw(sw, vnetif.RawConfig{})
				must(t, err)
				runs[i] = append(runs[i], r.MAC())
			}
		}
		must(t, w.Close())
	}
	equal(t, "addresses", fmt.Sprint(runs[0]), fmt.Sprint(runs[1]))
	for n, mac := range runs[0] {
		equal(t, fmt.Sprint("address of port ", n), mac, vswitch.PortMAC(n))
	}
}

// With Flush, Disconnect returns when the listener has: in real time, where it runs on
// another goroutine. None of the frames that were on their way reach it any more.
func TestDisconnectWaitsForTheListener(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	p := &pair{w: w, sw: sw}
	p.a, err = vnetif.NewRaw(sw, vnetif.RawConfig{})
	must(t, err)
	p.b, err = vnetif.NewRaw(sw, vnetif.RawConfig{Flush: true})
	must(t, err)
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls, returned atomic.Int32
	p.b.SetListen(func([]byte) {
		if calls.Add(1) == 1 {
			close(entered)
			<-leave
		}
		time.Sleep(10 * time.Millisecond)
		returned.Add(1)
	})
	p.run(t, func() error {
		for range 20 {
			if err := p.a.WriteFrame(p.frame("x")); err != nil {
				return err
			}
		}
		<-entered
		gone := make(chan error, 1)
		go func() { gone <- p.b.Disconnect() }()
		time.Sleep(20 * time.Millisecond)
		if len(gone) > 0 {
			t.Error("Disconnect returned while the listener ran")
		}
		close(leave)
		if err := <-gone; err != nil {
			return err
		}
		equal(t, "calls that have returned", returned.Load(), 1)
		time.Sleep(20 * time.Millisecond)
		equal(t, "calls", calls.Load(), 1)
		return p.b.Disconnect()
	})
	must(t, w.Close())
}

// In virtual time there is nothing to wait for: the listener is not running while an
// application does, and is not called afterwards.
func TestNoCallbackAfterDisconnect(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{Flush: true})
	node, err := p.w.NewNode("clock")
	must(t, err)
	calls := 0
	p.b.SetListen(func([]byte) { calls++ })
	p.run(t, func() error {
		for n := range 20 {
			if err := p.a.WriteFrame(p.frame("x")); err != nil {
				return err
			}
			if n == 9 {
				must(t, pause(node, 2*vswitch.DefaultLatency))
			}
		}
		must(t, p.b.Disconnect())
		return pause(node, time.Second)
	})
	equal(t, "calls", calls, 10)
}

// A listener may disconnect its own interface: nothing comes after.
func TestListenerDisconnects(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	calls := 0
	p.b.SetListen(func([]byte) {
		calls++
		must(t, p.b.Disconnect())
	})
	p.run(t, func() error {
		for range 10 {
			if err := p.a.WriteFrame(p.frame("x")); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "calls", calls, 1)
}

// What is written arrives later, not inside the write; to wait until it has is to sleep
// for as long as it takes.
func TestDeliveryIsNotInsideTheWrite(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{}, vnetif.RawConfig{})
	node, err := p.w.NewNode("clock")
	must(t, err)
	calls := 0
	p.b.SetListen(func([]byte) { calls++ })
	p.run(t, func() error {
		must(t, p.a.WriteFrame(p.frame("x")))
		equal(t, "calls when the write has returned", calls, 0)
		must(t, pause(node, 2*vswitch.DefaultLatency))
		equal(t, "calls after the cables' latency", calls, 1)
		return nil
	})
}

// Five thousand interfaces on one switch: broadcasts of some reach all others, and
// unicast from each to the next one only that, each exactly once.
func TestFiveThousandInterfaces(t *testing.T) {
	const n, broadcasts = 5000, 20
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{MACs: 2 * n})
	must(t, err)
	type key struct{ from, to int } // to is -1 for a broadcast
	got := make([]map[key]int, n)
	raws := make([]*vnetif.Raw, n)
	for i := range raws {
		raws[i], err = vnetif.NewRaw(sw, vnetif.RawConfig{})
		must(t, err)
		got[i] = map[key]int{}
		raws[i].SetListen(func(f []byte) {
			got[i][key{int(binary.BigEndian.Uint32(f[14:])), int(int32(binary.BigEndian.Uint32(f[18:])))}]++
		})
	}
	node, err := w.NewNode("clock")
	must(t, err)
	send := func(from, to int) error {
		dst, src := vswitch.Broadcast, raws[from].MAC()
		if to >= 0 {
			dst = raws[to].MAC()
		}
		f := append(append(append([]byte{}, dst[:]...), src[:]...), 0x88, 0xb5)
		f = binary.BigEndian.AppendUint32(f, uint32(from))
		return raws[from].WriteFrame(binary.BigEndian.AppendUint32(f, uint32(to)))
	}
	must(t, w.Run(context.Background(), func(context.Context) error {
		for i := range broadcasts {
			if err := send(i*n/broadcasts, -1); err != nil {
				return err
			}
		}
		// Each says where it is, to a neighbour that is known by then or not; the second
		// time none is flooded.
		for from := range n {
			if err := send(from, (from+n-1)%n); err != nil {
				return err
			}
			if from%50 == 0 {
				if err := pause(node, time.Millisecond); err != nil {
					return err
				}
			}
		}
		if err := pause(node, time.Millisecond); err != nil {
			return err
		}
		for from := range n {
			if err := send(from, (from+n/2)%n); err != nil {
				return err
			}
		}
		return pause(node, time.Second)
	}))
	for i := range n {
		want := map[key]int{}
		for b := range broadcasts {
			if from := b * n / broadcasts; from != i {
				want[key{from, -1}] = 1
			}
		}
		want[key{(i + 1) % n, i}], want[key{(i + n/2) % n, i}] = 1, 1
		for k, times := range got[i] {
			if k.to >= 0 && k.to != i { // flooded: for somebody else
				if k.to != (k.from+n-1)%n || times != 1 {
					t.Fatalf("interface %d got %+v %d times", i, k, times)
				}
				continue
			}
			if times != want[k] {
				t.Fatalf("interface %d got %+v %d times, want %d", i, k, times, want[k])
			}
			delete(want, k)
		}
		if len(want) > 0 {
			t.Fatalf("interface %d did not get %+v", i, want)
		}
	}
}

// Two MTUs on one switch: each interface's own holds for what it sends, as an error, and
// for what comes to it: that is lost, and counted.
func TestTwoMTUsOnOneSwitch(t *testing.T) {
	p := newPair(t, vnetif.RawConfig{Port: vswitch.PortConfig{MTU: 9000}}, vnetif.RawConfig{Port: vswitch.PortConfig{MTU: 1500}})
	equal(t, "MTU of a", p.a.MTU(), 9000)
	equal(t, "MTU of b", p.b.MTU(), 1500)
	var lengths []int
	p.b.SetListen(func(f []byte) { lengths = append(lengths, len(f)) })
	p.run(t, func() error {
		wantErr(t, "9001 bytes from a", p.a.WriteFrame(p.frame(strings.Repeat("x", 9001))), vswitch.ErrTooBig)
		wantErr(t, "1501 bytes from b", p.b.WriteFrame(p.frame(strings.Repeat("x", 1501))), vswitch.ErrTooBig)
		must(t, p.a.WriteFrame(p.frame(strings.Repeat("x", 9000))))
		must(t, p.b.WriteFrame(p.frame(strings.Repeat("x", 1500))))
		return p.a.WriteFrame(p.frame(strings.Repeat("x", 1500)))
	})
	equal(t, "what b got", fmt.Sprint(lengths), "[1514]")
	equal(t, "what was too long for b", p.b.Port().Counters().RxLost[vswitch.LostMTU], 1)
}

// A TCP/IP stack in one call, from addresses with prefix lengths and gateways, on
// whatever backend; several on one talk.
func TestStackInOneCall(t *testing.T) {
	const message = "This is a connect test."
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	stack := func(name, cidr string) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{
			Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(cidr)}, Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		})
		must(t, err)
		return h
	}
	server, client := stack("server", "10.0.0.11/24"), stack("client", "10.0.0.10/24")
	l, err := server.Listen("tcp", ":80")
	must(t, err)
	var got []byte
	w.Go("server", func(context.Context) error {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		got, err = io.ReadAll(c)
		return err
	})
	must(t, w.Run(context.Background(), func(ctx context.Context) error {
		c, err := client.DialContext(ctx, "tcp", "10.0.0.11:80")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.WriteString(c, message)
		return err
	}))
	equal(t, "what the server read", string(got), message)
}

// Keep-alive probes on the world's clock, as many and as far apart as asked for, and the
// error when nobody answers.
func TestKeepAlive(t *testing.T) {
	l := newLAN(t, setup{world: vswitch.Config{Limit: 4 * time.Hour}})
	l.serve("tcp", ":80", func(c *vnetif.Conn) error {
		_, err := c.Read(make([]byte, 1))
		return err
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		must(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Hour, Interval: 75 * time.Second, Count: 9}))
		must(t, l.client.Sleep(90*time.Minute)) // one probe, which is answered
		before := len(tcpFrames(l))
		start := l.client.Now()
		// Of TCP only: without answers to ARP there would be no probes to see.
		l.sw.AddRule("cut", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
			return vswitch.Verdict{Drop: to == nil && isTCP(f.Data)}
		}))
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "Read", err, syscall.ETIMEDOUT)
		wantTimeout(t, "Read", err)
		equal(t, "it took", since(l.client, start).Round(time.Second), 30*time.Minute+9*75*time.Second)
		probes := tcpFrames(l)[before:]
		equal(t, "probes", len(probes), 9)
		for i, p := range probes {
			equal(t, "probe's sender", p.from, "client")
			equal(t, fmt.Sprint("probe ", i+1), p.at.Round(time.Second), 2*time.Hour+time.Duration(i)*75*time.Second)
		}
		return c.Close()
	})
}

// isTCP reports whether a frame is an IPv4 packet with TCP in it.
func isTCP(f []byte) bool { return len(f) > 23 && f[12] == 8 && f[13] == 0 && f[23] == 6 }

// tcpFrames are those of TCP that have been sent so far.
func tcpFrames(l *lan) (list []seen) {
	for _, f := range l.wire.frames {
		if isTCP(f.data) {
			list = append(list, f)
		}
	}
	return list
}

// Options of connections are those of net.TCPConn.
func TestKeepAliveOptions(t *testing.T) {
	var _ interface {
		SetKeepAlive(bool) error
		SetKeepAlivePeriod(time.Duration) error
		SetKeepAliveConfig(net.KeepAliveConfig) error
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
		SetLinger(int) error
		SetNoDelay(bool) error
	} = (*vnetif.Conn)(nil)
	l := newLAN(t, setup{})
	l.serve("tcp", ":80", echo)
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		must(t, c.SetKeepAlivePeriod(10*time.Second))
		must(t, l.client.Sleep(time.Minute))
		before := len(tcpFrames(l))
		must(t, c.SetKeepAlive(true))
		must(t, l.client.Sleep(time.Minute+time.Second))
		equal(t, "probes and answers in a minute", len(tcpFrames(l))-before, 12)
		must(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})) // 15 s
		before = len(tcpFrames(l))
		must(t, l.client.Sleep(time.Minute+time.Second))
		equal(t, "probes and answers in a minute, by default", len(tcpFrames(l))-before, 8)
		must(t, c.SetKeepAlive(false))
		before = len(tcpFrames(l))
		must(t, l.client.Sleep(time.Hour/2))
		equal(t, "frames when it is off", len(tcpFrames(l))-before, 0)
		must(t, c.Close())
		for what, err := range map[string]error{
			"SetKeepAlive": c.SetKeepAlive(true), "SetKeepAlivePeriod": c.SetKeepAlivePeriod(time.Second),
			"SetKeepAliveConfig": c.SetKeepAliveConfig(net.KeepAliveConfig{}), "SetReadBuffer": c.SetReadBuffer(1), "SetWriteBuffer": c.SetWriteBuffer(1),
		} {
			wantErr(t, what+" after Close", err, net.ErrClosed)
		}
		return nil
	})
}

// Small buffers bound what may be under way: what a peer that does not read is sent, and
// what Write takes before it waits.
func TestBufferSizes(t *testing.T) {
	l := newLAN(t, setup{})
	l.serve("tcp", ":80", func(c *vnetif.Conn) error {
		if err := c.SetReadBuffer(20_000); err != nil {
			return err
		}
		return l.server.Sleep(time.Hour) // and never reads
	})
	l.run(func(ctx context.Context) error {
		c, err := l.dial(ctx, "tcp", "server:80")
		if err != nil {
			return err
		}
		must(t, c.SetWriteBuffer(30_000))
		must(t, c.SetWriteDeadline(l.client.Now().Add(10*time.Second)))
		n, err := c.Write(make([]byte, 10_000_000))
		wantTimeout(t, "Write", err)
		if n < 20_000 || n > 400_000 {
			t.Errorf("%d bytes were taken", n)
		}
		return nil
	})
}
