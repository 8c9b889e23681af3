package vnetif_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// livePair is two hosts on a switch in real time.
func livePair(t testing.TB, mtu int, rec vswitch.Recorder) (w *vswitch.World, a, b *vnetif.Host) {
	t.Helper()
	w = vswitch.NewWorld(vswitch.Config{RealTime: true, WallLimit: time.Minute})
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	host := func(name, v4, v6 string) *vnetif.Host {
		h, err := vnetif.NewHost(sw, vnetif.HostConfig{
			Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(v4), netip.MustParsePrefix(v6)},
			Port: vswitch.PortConfig{MTU: mtu},
		})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	return w, host("a", "10.0.0.1/24", "fd00::1/64"), host("b", "10.0.0.2/24", "fd00::2/64")
}

// wireCheck is a recorder that looks at each frame as a receiver's kernel would.
type wireCheck struct {
	frames, tcp, big int
	bad              []string
	mtu              int
}

func (c *wireCheck) Record(e vswitch.Event) error {
	s, ok := e.(*vswitch.Sent)
	if !ok {
		return nil
	}
	c.frames++
	if len(s.Data) > c.mtu+14 {
		c.bad = append(c.bad, fmt.Sprintf("frame %d has %d bytes", s.Seq, len(s.Data)))
	}
	if len(s.Data) > 1000 {
		c.big++
	}
	p := s.Data[14:]
	var sum uint16
	switch binary.BigEndian.Uint16(s.Data[12:]) {
	case 0x0800:
		ip := header.IPv4(p)
		if !ip.IsChecksumValid() || int(ip.TotalLength()) != len(p) {
			c.bad = append(c.bad, fmt.Sprintf("frame %d: bad IPv4 header", s.Seq))
		}
		if ip.Protocol() != 6 {
			return nil
		}
		sum = header.PseudoHeaderChecksum(6, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(ip.Payload())))
		p = ip.Payload()
	case 0x86dd:
		ip := header.IPv6(p)
		if int(ip.PayloadLength()) != len(p)-40 {
			c.bad = append(c.bad, fmt.Sprintf("frame %d: IPv6 length %d", s.Seq, ip.PayloadLength()))
		}
		if ip.NextHeader() != 6 {
			return nil
		}
		sum = header.PseudoHeaderChecksum(6, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(ip.Payload())))
		p = ip.Payload()
	default:
		return nil
	}
	c.tcp++
	if checksum.Checksum(p, sum) != 0xffff {
		c.bad = append(c.bad, fmt.Sprintf("frame %d: bad TCP checksum", s.Seq))
	}
	return nil
}

func (c *wireCheck) Close() error { return nil }

// sendAll sends n bytes from a to b and returns their digests.
func sendAll(a, b *vnetif.Host, network, addr string, n int) error {
	l, err := b.Listen(network, addr)
	if err != nil {
		return err
	}
	defer l.Close()
	got := make(chan [32]byte, 1)
	go func() {
		h := sha256.New()
		defer func() { got <- [32]byte(h.Sum(nil)) }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(h, c)
	}()
	c, err := a.Dial(network, addr)
	if err != nil {
		return err
	}
	content := make([]byte, 100_003)
	for i := range content {
		content[i] = byte(i * i >> 8)
	}
	h := sha256.New()
	for left := n; left > 0; {
		p := content[:min(left, len(content))]
		h.Write(p)
		if _, err := c.Write(p); err != nil {
			return err
		}
		left -= len(p)
	}
	if err := c.Close(); err != nil {
		return err
	}
	if sum := <-got; !bytes.Equal(sum[:], h.Sum(nil)) {
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

func TestLiveFramesAreThoseOfAWire(t *testing.T) {
	for _, mtu := range []int{1280, 1500, 9000, 65535} {
		for _, addr := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
			t.Run(fmt.Sprint(mtu, " ", addr), func(t *testing.T) {
				check := &wireCheck{mtu: mtu}
				w, a, b := livePair(t, mtu, check)
				err := w.Run(context.Background(), func(context.Context) error { return sendAll(a, b, "tcp", addr, 3_000_001) })
				if err != nil {
					t.Fatal(err)
				}
				if check.tcp == 0 || len(check.bad) > 0 {
					t.Errorf("%d frames, %d of TCP; wrong: %q", check.frames, check.tcp, check.bad[:min(len(check.bad), 5)])
				}
				if most := 3_000_001/(mtu-100) + 500; mtu < 9000 && check.big > most {
					t.Errorf("%d big frames for 3 MB", check.big)
				}
			})
		}
	}
}

// A corrupted segment must not be put together with others unnoticed.
func TestLiveCorruptionIsNoticed(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	n := 0
	a.Port().Switch().AddRule("flip", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to == nil || len(f.Data) < 1000 {
			return vswitch.Verdict{}
		}
		if n++; n%50 != 0 {
			return vswitch.Verdict{}
		}
		at := 54 + n%900
		return vswitch.Verdict{Edits: []vswitch.Edit{{Offset: at, Old: f.Data[at : at+1], New: []byte{f.Data[at] ^ 0x10}}}}
	}))
	if err := w.Run(context.Background(), func(context.Context) error { return sendAll(a, b, "tcp", "10.0.0.2:80", 2_000_000) }); err != nil {
		t.Fatal(err)
	}
	if st := b.Stats(); st.TCPChecksumErrors == 0 {
		t.Errorf("no checksum errors: %+v", st)
	}
}

func TestLiveHTTP(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	l, err := b.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from ", r.RemoteAddr) })}
	w.Background("server", func(context.Context) error { return server.Serve(l) })
	client := &http.Client{Transport: &http.Transport{DialContext: a.DialContext}, Timeout: 20 * time.Second}
	err = w.Run(context.Background(), func(context.Context) error {
		defer client.CloseIdleConnections()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				resp, err := client.Get("http://b/")
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if body, _ := io.ReadAll(resp.Body); !bytes.HasPrefix(body, []byte("hello from 10.0.0.1:")) {
					t.Errorf("%q", body)
				}
			})
		}
		all.Wait()
		return nil
	})
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
}

func TestLiveDeadlinesSleepAndTimeouts(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	err := w.Run(context.Background(), func(context.Context) error {
		began := time.Now()
		if err := a.Sleep(20 * time.Millisecond); err != nil || time.Since(began) < 20*time.Millisecond {
			t.Errorf("Sleep: %v after %v", err, time.Since(began))
		}
		pc, err := b.ListenPacket("udp", ":53")
		if err != nil {
			return err
		}
		pc.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if _, _, err := pc.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom: %v", err)
		}
		ctx, cancel := a.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		if _, err := a.DialContext(ctx, "tcp", "10.0.0.99:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial of nobody: %v", err)
		}
		if _, err := a.Dial("tcp", "b:9"); err == nil {
			t.Error("nobody listens, and Dial succeeded")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Dial("tcp", "b:80"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the run: %v", err)
	}
}

func TestLiveBothDirectionsAtOnce(t *testing.T) {
	w, a, b := livePair(t, 1500, nil)
	err := w.Run(context.Background(), func(context.Context) error {
		var all sync.WaitGroup
		for i := range 4 {
			from, to := a, b
			if i%2 == 1 {
				from, to = b, a
			}
			all.Go(func() {
				if err := sendAll(from, to, "tcp", fmt.Sprintf("%s:%d", to.Name(), 1000+i), 2_000_000); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLiveRawInterfaces(t *testing.T) {
	w := vswitch.NewWorld(vswitch.Config{RealTime: true, WallLimit: time.Minute})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var raw [2]*vnetif.Raw
	for i := range raw {
		if raw[i], err = vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Patience: time.Hour}}); err != nil {
			t.Fatal(err)
		}
	}
	const n = 5000 // more than any queue holds
	frame := func(i int) []byte {
		f := make([]byte, 60)
		dst, src := raw[1].MAC(), raw[0].MAC()
		copy(f, dst[:])
		copy(f[6:], src[:])
		binary.BigEndian.PutUint32(f[14:], uint32(i))
		return f
	}
	err = w.Run(context.Background(), func(context.Context) error {
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if err := raw[0].WriteFrame(frame(i)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		buf := make([]byte, 2000)
		for i := range n {
			if k, err := raw[1].ReadFrame(buf); err != nil || !bytes.Equal(buf[:k], frame(i)) {
				return fmt.Errorf("frame %d: %d bytes, %v", i, k, err)
			}
		}
		if err := <-sent; err != nil {
			return err
		}
		// A listener takes over, and Disconnect wakes who waits.
		heard := make(chan []byte, 1)
		raw[1].SetListen(func(f []byte) { heard <- bytes.Clone(f) })
		if err := raw[0].WriteFrame(frame(7)); err != nil {
			return err
		}
		if f := <-heard; !bytes.Equal(f, frame(7)) {
			return fmt.Errorf("heard %x", f)
		}
		raw[1].SetListen(nil)
		over := make(chan error)
		go func() { _, err := raw[1].ReadFrame(buf); over <- err }()
		if err := raw[1].Disconnect(); err != nil {
			return err
		}
		if err := <-over; !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("ReadFrame after Disconnect: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if st := raw[1].Stats(); st.RxFrames != n+1 || st.RxOverflow != 0 {
		t.Errorf("%+v", st)
	}
}
