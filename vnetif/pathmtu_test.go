package vnetif_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Over IPv6 nobody on the way cuts a datagram: the first that is too big for a narrow line is
// lost, and the host cuts those that follow, as a kernel does.
func TestDatagramsThroughANarrowLine(t *testing.T) {
	const narrow = 1300
	for _, real := range []bool{false, true} {
		for _, size := range []int{1400, 4000} {
			t.Run(fmt.Sprintf("real=%v/%d", real, size), func(t *testing.T) {
				n := newNarrowLine(t, real, true, narrow)
				arrived := 0
				err := n.w.Run(context.Background(), func(context.Context) error {
					for i := range 4 {
						sent := bytes.Repeat([]byte{byte(i), 1, 2, 3, 4, 5, 6}, size/7)
						wait := time.Second // for the one that is lost
						if i > 0 {
							wait = 20 * time.Second
						}
						switch err := datagram(n.client, n.server, "fd00:2::1", sent, wait); {
						case err == nil:
							arrived++
						case !errors.Is(err, os.ErrDeadlineExceeded):
							return err
						}
					}
					return nil
				})
				if err != nil || arrived != 3 {
					t.Errorf("%d of 4 arrived: %v", arrived, err)
				}
				ids := map[string]bool{}
				for _, f := range n.seen[1] {
					if len(f.data) > 14+narrow {
						t.Errorf("frame %d on the line has %d bytes", f.seq, len(f.data))
					}
					if f.data[20] == 44 && f.data[22] == 0xfd { // a fragment
						ids[string(f.data[58:62])] = true
					}
				}
				if want := map[int]int{1400: 3, 4000: 4}[size]; len(ids) != want { // of the first of 4000 the last fragment came, too
					t.Errorf("fragments of %d datagrams on the line, want %d", len(ids), want)
				}
			})
		}
	}
}

// packetTooBig is a "packet too big" as RFC 4443, section 3.2, has it, without its checksum.
func packetTooBig(mac, to vswitch.MAC, from string, about []byte, mtu uint16) []byte {
	quoted := about[14:min(len(about), 1200)]
	icmp := slices.Concat([]byte{2, 0, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quoted)
	return frame6(to, mac, from, netip.AddrFrom16([16]byte(about[22:38])).String(), 64, 58, icmp)
}

// Hosts believe what they are told about their own packets, do not cut them shorter than
// everybody has to take, and forget it after a while.
func TestHostsBelieveGoodPathMTUs(t *testing.T) {
	const self, other = "fd00::1", "fd00::2"
	for _, c := range []struct {
		name     string
		mtu      uint16
		from, to string // of the packet that was too big
		change   func(icmp []byte)
		before   uint16 // an MTU that was told before
		wait     time.Duration
		longest  int // packet
	}{
		{name: "good", mtu: 1400, longest: 1400},
		{name: "not a multiple of 8", mtu: 1399, longest: 1392},
		{name: "just before it is forgotten", mtu: 1400, wait: 599 * time.Second, longest: 1400},
		{name: "forgotten", mtu: 1400, wait: 600 * time.Second, longest: 1498},
		{name: "less than everybody takes", mtu: 68, longest: 1280},
		{name: "no less than its own cable's", mtu: 1500, longest: 1498},
		{name: "more than was told before", mtu: 1400, before: 1300, longest: 1296},
		{name: "less than was told before", mtu: 1300, before: 1400, longest: 1296},
		{name: "of another's packet", mtu: 1400, from: "fd00::3", longest: 1498},
		{name: "of a packet to somebody else", mtu: 1400, to: "fd00::3", longest: 1498},
		{name: "with a wrong checksum", mtu: 1400, change: func(icmp []byte) { icmp[2] ^= 1 }, longest: 1498},
		{name: "another message", mtu: 1400, change: func(icmp []byte) { icmp[0] = 3; icmp[2]-- }, longest: 1498},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := vswitch.NewWorld(vswitch.Config{Seed: 2})
			defer w.Close()
			var seen []seenFrame
			sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: watcher{&twoLANs{w: w}, &seen}})
			if err != nil {
				t.Fatal(err)
			}
			var hosts []*vnetif.Host
			for i, a := range []string{self, other} {
				h, err := vnetif.NewHost(sw, vnetif.HostConfig{Name: fmt.Sprint("h", i), Addrs: prefixes(a + "/64")})
				if err != nil {
					t.Fatal(err)
				}
				hosts = append(hosts, h)
			}
			probe, err := vnetif.NewRaw(sw, vnetif.RawConfig{Port: vswitch.PortConfig{Name: "probe"}})
			if err != nil {
				t.Fatal(err)
			}
			from, to := self, other
			if c.from != "" {
				from = c.from
			}
			if c.to != "" {
				to = c.to
			}
			tell := func(mtu uint16, change func([]byte)) error {
				mac := hosts[0].Port().MAC()
				about := frame6(mac, mac, from, to, 64, 17, make([]byte, 1440))
				frame := packetTooBig(probe.MAC(), mac, "fd00::9", about, mtu)
				copy(frame[38:54], netip.MustParseAddr(self).AsSlice())
				summed(frame)
				if change != nil {
					change(frame[54:])
				}
				return errors.Join(probe.WriteFrame(frame), hosts[0].Sleep(time.Millisecond))
			}
			err = w.Run(context.Background(), func(context.Context) error {
				if c.before > 0 {
					if err := tell(c.before, nil); err != nil {
						return err
					}
				}
				if err := tell(c.mtu, c.change); err != nil {
					return err
				}
				if err := hosts[0].Sleep(max(c.wait-time.Millisecond, time.Millisecond)); err != nil {
					return err
				}
				seen = nil
				return datagram(hosts[0], hosts[1], other, bytes.Repeat([]byte("0123456789"), 145), time.Second)
			})
			if err != nil {
				t.Fatal(err)
			}
			longest := 0
			for _, f := range seen {
				longest = max(longest, len(f.data)-14)
			}
			if longest != c.longest {
				t.Errorf("the longest packet has %d bytes, want %d", longest, c.longest)
			}
		})
	}
}
