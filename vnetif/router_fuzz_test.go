package vnetif_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// routedAddrs are addresses that packets come from or go to, of both families in turn.
var routedAddrs = func() (all [][2]netip.Addr) {
	for _, a := range [][2]string{
		{"10.0.0.9", "fd00:a::9"},      // on the lan
		{"10.9.0.9", "fd00:b::9"},      // on the wan
		{"10.0.0.254", "fd00:a::fe"},   // the router
		{"10.9.0.254", "fd00:b::fe"},   // the router, on the wan
		{"10.50.0.1", "fd00:50::1"},    // by a next hop on the wan
		{"192.0.2.1", "2001:db8::1"},   // by the default route, to a next hop on the lan
		{"0.0.0.0", "::"},              // nobody
		{"127.0.0.1", "::1"},           // itself
		{"255.255.255.255", "ff02::1"}, // all on this network
		{"10.0.0.255", "ff02::1:ff00:9"},
		{"10.9.0.255", "ff05::2"},
		{"10.9.0.0", "ff0e::1"},
		{"169.254.1.1", "fe80::9"},
		{"224.0.0.1", "ff01::1"},
		{"239.1.2.3", "::ffff:10.9.0.9"},
		{"240.0.0.1", "::10.9.0.9"},
	} {
		all = append(all, [2]netip.Addr{netip.MustParseAddr(a[0]), netip.MustParseAddr(a[1])})
	}
	return all
}()

// fuzzedFrame takes one frame from the input, and the rest. Its first bytes are: whether it
// is IPv6 (1), to all by its Ethernet address (2), offered on the wan (4), with options
// (8), longer than the wan's MTU (16); source; destination; TTL; protocol; flags and offset of fragments;
// size.
func fuzzedFrame(in []byte, to [2]vswitch.MAC, from vswitch.MAC) (frame []byte, wan bool, rest []byte) {
	const head = 8
	if len(in) < head {
		return nil, false, nil
	}
	v6, all, options, long := in[0]&1, in[0]&2 != 0, in[0]&8 != 0, in[0]&16 != 0
	wan = in[0]&4 != 0
	n := min(int(in[7]), len(in)-head)
	payload := in[head : head+n]
	if long {
		payload = append(slices.Clone(payload), make([]byte, 1300-n)...)
	}
	rest = in[head+n:]
	dst := to[0]
	if wan {
		dst = to[1]
	}
	if all {
		dst = vswitch.Broadcast
	}
	src, target := routedAddrs[int(in[1])%len(routedAddrs)][v6], routedAddrs[int(in[2])%len(routedAddrs)][v6]
	frame = slices.Concat(dst[:], from[:])
	if v6 == 1 {
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, byte(len(payload)>>8), byte(len(payload)), in[4], in[3])
		a, b := src.As16(), target.As16()
		return slices.Concat(frame, a[:], b[:], payload), wan, rest
	}
	words := 5
	if options {
		words += min(len(payload)/4, 10)
	}
	frame = append(frame, 8, 0, 0x40|byte(words), 0, 0, 0, 0, 7)
	binary.BigEndian.PutUint16(frame[16:], uint16(20+len(payload)))
	a, b := src.As4(), target.As4()
	frame = slices.Concat(frame, in[5:7], []byte{in[3], in[4], 0, 0}, a[:], b[:], payload)
	ip := header.IPv4(frame[14:])
	ip.SetChecksum(^ip.CalculateChecksum())
	return frame, wan, rest
}

// Whatever a router is sent, it goes on, and what it forwards was sent to it and to somebody
// elsewhere, has a hop less, and may leave its network.
func FuzzRouter(f *testing.F) {
	ping := []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}
	for i := range routedAddrs {
		for _, kind := range []byte{0, 1, 2, 3, 8, 9} {
			protocol := byte(1)
			if kind&1 == 1 {
				protocol = 58
			}
			f.Add(append([]byte{kind, 0, byte(i), 9, protocol, 0, 0, 8}, ping...))
			f.Add(append([]byte{kind, byte(i), 1, 9, protocol, 0, 0, 8}, ping...))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n := bareLANs(t, false)
		var raws [2]*vnetif.Raw
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		r := vnetif.RouterConfig{
			Name: "router",
			Routes: []vnetif.Route{
				{To: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr("10.9.0.9")},
				{To: netip.MustParsePrefix("fd00:50::/32"), Via: netip.MustParseAddr("fd00:b::9")},
				{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.9")},
				{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fd00:a::9")},
			},
		}
		for i, addrs := range [][]netip.Prefix{prefixes("10.0.0.254/24", "fd00:a::fe/64"), prefixes("10.9.0.254/24", "fd00:b::fe/64")} {
			sw := []*vswitch.Switch{n.lan, n.wan}[i]
			r.Interfaces = append(r.Interfaces, vnetif.Interface{Switch: sw, Addrs: addrs, Port: vswitch.PortConfig{MTU: []int{1500, 1280}[i]}})
			// Somebody who answers for the addresses that end in 9.
			var err error
			raws[i], err = vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: fmt.Sprint("raw", i)}})
			must(err)
			raws[i].SetListen(func(f []byte) { answerFor9(raws[i], f) })
		}
		router, err := vnetif.NewRouter(r)
		must(err)
		macs := [2]vswitch.MAC{router.Ports()[0].MAC(), router.Ports()[1].MAC()}
		var offered [][]byte
		must(n.w.Run(context.Background(), func(context.Context) error {
			for len(in) > 0 {
				var frame []byte
				var wan bool
				if frame, wan, in = fuzzedFrame(in, macs, raws[0].MAC()); frame == nil {
					break
				}
				from := raws[0]
				if wan {
					from = raws[1]
				}
				offered = append(offered, frame)
				if err := from.WriteFrame(frame); err != nil {
					return err
				}
			}
			return router.Sleep(5 * time.Second)
		}))
		for i, seen := range n.seen {
			for _, f := range seen {
				if vswitch.MAC(f.data[6:12]) != macs[i] {
					continue
				}
				checkForwarded(t, f.data, offered)
			}
		}
	})
}

// answerFor9 answers who asks for the Ethernet address of one that ends in 9.
func answerFor9(raw *vnetif.Raw, f []byte) {
	me := raw.MAC()
	switch {
	case f[13] == 0x06 && f[21] == 1 && f[41] == 9:
		reply := bytes.Clone(f)
		copy(reply, f[6:12])
		copy(reply[6:], me[:])
		reply[21] = 2
		copy(reply[22:], me[:])
		copy(reply[28:], f[38:42])
		copy(reply[32:], f[22:32])
		_ = raw.WriteFrame(reply)
	case f[13] == 0xdd && len(f) >= 78 && f[20] == 58 && f[54] == 135 && f[77] == 9:
		from, to := netip.AddrFrom16([16]byte(f[62:78])), netip.AddrFrom16([16]byte(f[22:38]))
		a := from.As16()
		icmp := slices.Concat([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, a[:], []byte{2, 1}, me[:])
		_ = raw.WriteFrame(summed(frame6(vswitch.MAC(f[6:12]), me, from.String(), to.String(), 255, 58, icmp)))
	}
}

// checkForwarded looks at a packet that has left a router: its own, or one that it was offered.
func checkForwarded(t *testing.T, f []byte, offered [][]byte) {
	var src, dst netip.Addr
	var hops byte
	switch f[13] {
	case 0x00:
		ip := header.IPv4(f[14:])
		src, _ = netip.AddrFromSlice(f[26:30])
		dst, _ = netip.AddrFromSlice(f[30:34])
		if !ip.IsValid(len(ip)) || !ip.IsChecksumValid() {
			t.Errorf("a bad IPv4 header: %x", f)
		}
		hops = ip.TTL()
	case 0xdd:
		src, _ = netip.AddrFromSlice(f[22:38])
		dst, _ = netip.AddrFromSlice(f[38:54])
		hops = f[21]
	default:
		return
	}
	own := func(a netip.Addr) bool {
		return slices.Contains([]string{"10.0.0.254", "10.9.0.254", "fd00:a::fe", "fd00:b::fe"}, a.String()) || a.Is6() && a.IsLinkLocalUnicast()
	}
	if own(src) || src.IsUnspecified() && dst.IsMulticast() { // its own
		return
	}
	broadcast := netip.MustParseAddr("10.9.0.255")
	switch {
	case hops == 0, vswitch.MAC(f[:6]).IsGroup(), !src.IsGlobalUnicast(), !dst.IsGlobalUnicast(), dst == broadcast, own(dst):
		t.Errorf("forwarded from %v to %v with %d hops left: %x", src, dst, hops, f)
	}
	ok := slices.ContainsFunc(offered, func(o []byte) bool {
		same := o[13] == f[13] && !vswitch.MAC(o[:6]).IsGroup()
		if f[13] == 0x00 {
			return same && bytes.Equal(o[26:34], f[26:34]) && o[22] == hops+1 && o[23] == f[23]
		}
		return same && bytes.Equal(o[22:54], f[22:54]) && o[21] == hops+1 && bytes.Equal(o[54:], f[54:])
	})
	if !ok {
		t.Errorf("forwarded, though no such packet was for it: %x", f)
	}
}
