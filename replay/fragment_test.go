package replay_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// splitAnswer writes down two questions and two answers, of which the first comes in
// two fragments, with the second question and some time between them.
func (c *craft) splitAnswer(gap time.Duration) {
	client, server := netip.MustParseAddrPort("10.0.0.1:1001"), netip.MustParseAddrPort("10.0.0.2:53")
	f, err := pcap.BuildIP(macOf(client.Addr()), macOf(server.Addr()), server.Addr(), client.Addr(), pcap.ProtoUDP, 64, datagram(server, client, []byte(letters(2000))))
	if err != nil {
		c.t.Fatal(err)
	}
	f[20] &^= 0x40 // may be fragmented
	parts, err := pcap.Fragment(f, 1500, 1)
	if err != nil {
		c.t.Fatal(err)
	}
	c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("first"), 1500)
	c.frame(parts[0])
	c.wait(gap)
	c.udp("10.0.0.1:1001", "10.0.0.2:53", []byte("second"), 1500)
	c.frame(parts[1])
	c.udp("10.0.0.2:53", "10.0.0.1:1001", []byte("answer"), 1500)
}

// TestFragmentsApart puts fragments together that may be one datagram's, which then has
// its place in time among the others.
func TestFragmentsApart(t *testing.T) {
	for gap, want := range map[time.Duration]int{ms: 4, 59 * time.Second: 4, 61 * time.Second: 3} {
		c := newCraft(t)
		c.splitAnswer(gap)
		a := c.analysis("fragments")
		all := a.Conversations[0].Datagrams
		if len(all) != want || (want == 4) != (len(a.Ignored) == 0) {
			t.Errorf("%v apart: %d datagrams, want %d; ignored %v", gap, len(all), want, a.Ignored)
		}
		for i, d := range all {
			if i > 0 && d.At < all[i-1].At {
				t.Errorf("%v apart: datagram %d is of %v, the one before of %v", gap, i, d.At, all[i-1].At)
			}
		}
	}
}
