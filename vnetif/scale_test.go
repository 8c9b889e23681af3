package vnetif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// crowd is many hosts on one switch: h0 is 10.0.0.1/16, h1 is 10.0.0.2 and so on.
func crowd(t testing.TB, n int) (*vswitch.World, []*vnetif.Host) {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{WallLimit: 10 * time.Minute})
	t.Cleanup(func() { _ = w.Close() })
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var hosts []*vnetif.Host
	for i := range n {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{
			Name: fmt.Sprint("h", i), Addrs: []netip.Prefix{netip.PrefixFrom(crowdAddr(i), 16)},
		})
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return w, hosts
}

func crowdAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte((i + 1) >> 8), byte(i + 1)})
}

// heap is the memory in use, after garbage has been collected.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// pingUpTo sends an echo request each second, at most so many, until one is answered.
func pingUpTo(from *vnetif.Host, to netip.Addr, most int) error {
	pc, err := from.ListenPacket("ip4:icmp", "")
	if err != nil {
		return err
	}
	defer pc.Close()
	msg := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{Seq: 1, Data: []byte("scale")}}
	b, err := msg.Marshal(nil)
	if err != nil {
		return err
	}
	for range most {
		if _, err = pc.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			return err
		}
		if err = pc.SetReadDeadline(from.Now().Add(time.Second)); err != nil {
			return err
		}
		if _, _, err = pc.ReadFrom(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return err
}

// storm is a world of 1 000 hosts of which so many ping the same one, the next each time
// after so long, with at most so many echo requests; all are to get their answer. It
// returns how many frames that took.
func storm(t testing.TB, asking int, apart time.Duration, most int) (frames int) {
	all := 1000
	if raceEnabled {
		all, asking = 100, asking/10
	}
	w, hosts := crowd(t, all)
	failures := make([]error, asking)
	for i, h := range hosts[1 : 1+asking] {
		w.Go(fmt.Sprint("ping", i), func(context.Context) error {
			if apart > 0 {
				if err := h.Sleep(time.Duration(i) * apart); err != nil {
					return err
				}
			}
			failures[i] = pingUpTo(h, crowdAddr(0), most)
			return nil
		})
	}
	if err := w.Run(context.Background(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(failures...); err != nil {
		t.Error(err)
	}
	return int(w.Stats().Frames)
}

// A gVisor stack knows 512 neighbours at a time, and has packets waiting for 64 that it
// looks for. When 512 hosts ask for one at the same instant, it knows them all by their
// questions and answers their pings. When there is one more, each is forgotten before its
// ping is there: the host has to ask for them in turn, and lets all but 64 go unanswered.
// Who pings again, as people's ping does each second, is answered then: 64 at a time, until
// those left are few enough. BenchmarkScale has 999.
func TestScaleARPStorm(t *testing.T) {
	t.Run("512 at one instant", func(t *testing.T) {
		// Of each a question that all get, its answer, an echo request and its reply.
		if frames := storm(t, 512, 0, 1); frames != 512*4 && !raceEnabled {
			t.Errorf("%d frames", frames)
		}
	})
	t.Run("600 at one instant, with 5 pings each", func(t *testing.T) { storm(t, 600, 0, 5) })
	t.Run("999 within a second", func(t *testing.T) {
		if frames := storm(t, 999, time.Millisecond, 1); frames != 999*4 && !raceEnabled {
			t.Errorf("%d frames", frames)
		}
	})
}

// allPairs is n hosts that all ping each other, each one after the other; it returns how
// many frames that took.
func allPairs(t testing.TB, n int) (frames int) {
	w, hosts := crowd(t, n)
	for i, h := range hosts {
		w.Go(fmt.Sprint("ping", i), func(context.Context) error {
			for k := range n {
				if k == i {
					continue
				}
				if err := pingUpTo(h, crowdAddr(k), 1); err != nil {
					return fmt.Errorf("%s to h%d: %w", h.Name(), k, err)
				}
			}
			return nil
		})
	}
	if err := w.Run(context.Background(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return int(w.Stats().Frames)
}

// All hosts ping each other, all pairs in both directions. BenchmarkScale has more of them.
func TestScaleAllPairs(t *testing.T) {
	n := 150
	if testing.Short() || raceEnabled {
		n = 40
	}
	// An echo request and its reply each way, and one of each two asks for the other.
	if frames := allPairs(t, n); frames < n*(n-1)*3 || frames > n*(n-1)*31/10 {
		t.Errorf("%d frames", frames)
	}
}

// One host pings 999 others, and all of them again when it has forgotten all: its stack
// knows 512.
func TestScaleForgottenNeighbours(t *testing.T) {
	n := 1000
	if testing.Short() || raceEnabled {
		n = 600
	}
	w, hosts := crowd(t, n)
	err := w.Run(context.Background(), func(context.Context) error {
		for range 2 {
			for i := 1; i < n; i++ {
				if err := pingUpTo(hosts[0], crowdAddr(i), 1); err != nil {
					return fmt.Errorf("h%d: %w", i, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if frames := w.Stats().Frames; frames != uint64(n-1)*2*4 { // a question, its answer, an echo request, its reply
		t.Errorf("%d frames", frames)
	}
}

// 100 switches in one world, each with two hosts that talk.
func TestScaleSwitches(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{WallLimit: time.Minute})
	defer w.Close()
	for i := range 100 {
		sw, err := w.NewSwitch(vswitch.SwitchConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var pair [2]*vnetif.Host
		for k := range pair {
			pair[k], err = vnetif.NewHost(sw, vnetif.HostConfig{Name: fmt.Sprintf("s%d-%d", i, k), Addrs: []netip.Prefix{netip.PrefixFrom(crowdAddr(k), 24)}})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Go(fmt.Sprint("talk", i), func(context.Context) error { return transfer(pair[0], pair[1], "10.0.0.2:80", 20_000) })
	}
	if err := w.Run(context.Background(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// talkers opens n connections between two hosts, says a word on each while all are open,
// and returns how much memory all of them take.
func talkers(t testing.TB, n int) (bytes uint64) {
	w, hosts := crowd(t, 2)
	l, err := hosts[1].Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	meter, err := w.NewNode("meter")
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	w.Background("server", func(context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	})
	err = w.Run(context.Background(), func(context.Context) error {
		var all []net.Conn
		for i := range n {
			c, err := hosts[0].Dial("tcp", "h1:80")
			if err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			all = append(all, c)
		}
		word := make([]byte, 5)
		for i, c := range all {
			if _, err := c.Write([]byte("hello")); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			if _, err := io.ReadFull(c, word); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		// The world's loop collects garbage; an application cannot wait for that.
		meter.AppClock(0).AfterFunc(0, func() { bytes = heap() - before })
		if err := hosts[0].Sleep(time.Millisecond); err != nil {
			return err
		}
		for _, c := range all {
			if err := c.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	return bytes
}

// 10 000 connections between two hosts at the same time, in bounded memory.
func TestScaleConnections(t *testing.T) {
	n := 10_000
	if testing.Short() || raceEnabled {
		n = 1000
	}
	const most = 100 << 10 // bytes of a connection: both ends, with the goroutine that reads
	if bytes := talkers(t, n); bytes > uint64(n)*most && !raceEnabled {
		t.Errorf("%d KiB for each of %d connections", bytes/uint64(n)/1024, n)
	}
}

// BenchmarkScale prints what a host and a connection cost in memory, and what a frame costs
// in time: how many times as much when 1 000 hosts are there as when there are only the two
// that talk, by turns, the median of five. An operation of hosts is a world of 1 000 of them,
// one of connections 10 000 at the same time, one of storm 999 of 1 000 hosts that ping the
// other one at one instant until they are answered, one of pairs 250 hosts that all ping each other.
func BenchmarkScale(b *testing.B) {
	b.Run("hosts", func(b *testing.B) {
		for range b.N {
			before := heap()
			w, hosts := crowd(b, 1000)
			b.ReportMetric(float64(heap()-before)/float64(len(hosts))/1024, "KiB/host")
			runtime.KeepAlive(w)
		}
	})
	b.Run("connections", func(b *testing.B) {
		for range b.N {
			b.ReportMetric(float64(talkers(b, 10_000))/10_000/1024, "KiB/connection")
		}
	})
	b.Run("storm", func(b *testing.B) {
		for range b.N {
			b.ReportMetric(float64(storm(b, 999, 0, 10)), "frames")
		}
	})
	b.Run("pairs", func(b *testing.B) {
		for range b.N {
			b.ReportMetric(float64(allPairs(b, 250)), "frames")
		}
	})
	b.Run("frames", func(b *testing.B) {
		for range b.N {
			var times, ratios []float64
			for range 5 {
				few, many := costOfAFrame(b, 2), costOfAFrame(b, 1000)
				times, ratios = append(times, few), append(ratios, many/few)
			}
			slices.Sort(times)
			slices.Sort(ratios)
			b.ReportMetric(times[2], "ns/frame")
			b.ReportMetric(ratios[2], "times-of-1000-hosts")
		}
	})
}

// costOfAFrame is the time in ns that a frame takes of a transfer between two of n hosts.
func costOfAFrame(b *testing.B, n int) float64 {
	w, hosts := crowd(b, n)
	err := w.Run(context.Background(), func(context.Context) error { return transfer(hosts[0], hosts[1], "10.0.0.2:80", 20_000_000) })
	if err != nil {
		b.Fatal(err)
	}
	st := w.Stats()
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return float64(st.Wall) / float64(st.Frames)
}
