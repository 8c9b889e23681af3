package pcap_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

func TestShowLines(t *testing.T) {
	fs := frames(t, "01-http-get-100k.a.pcapng")
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	packet := func(n int, at time.Duration, dir pcap.Direction, comments ...string) *pcap.Packet {
		return &pcap.Packet{Number: n, Time: start.Add(at), LinkType: pcap.LinkEthernet, Data: fs[n-1].data, OrigLen: len(fs[n-1].data), Direction: dir, Comments: comments}
	}
	client, server := pcap.Interface{Name: "client"}, pcap.Interface{Name: "ser\x1bver"}
	var s pcap.Show
	var b strings.Builder
	line := func(p *pcap.Packet, i pcap.Interface) { b.WriteString(s.Line(p, i) + "\n") }
	line(packet(1, 0, pcap.Outbound, "vnr.to=all", "vnr.fault=drop rule=1:loss at=server"), client)
	line(packet(3, 125*time.Millisecond, pcap.Outbound, "vnr.fault=drop rule=2:syn"), client)
	line(packet(4, time.Hour+time.Nanosecond, pcap.Outbound, "vnr.fault=dup rule=1:d1 copies=1 gap=1ms at=client", "vnr.queued=0s,1ms at=client"), server)
	line(packet(10, -1500*time.Millisecond, pcap.Inbound, "vnr.fault=corrupt rule=3:c1 bytes=@66:4f>4e at=client"), client)
	line(packet(11, 2*time.Second, pcap.DirectionUnknown, "vnr.fault=delay rule=4 by=40ms", "vnr.lost=queue at=server"), client)
	line(packet(12, 2*time.Second, pcap.DirectionUnknown, "a note\nof somebody"), pcap.Interface{})
	line(packet(12, 2*time.Second, pcap.Outbound, "vnr.fault=what"), client)
	golden(t, "show.golden", b.String())
}

// Of a frame that is not decoded the line tells its length and why, and invents
// no addresses.
func TestUndecodedFramesHaveNoAddresses(t *testing.T) {
	sll := append([]byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 0x88, 0xb5}, "payload"...)
	for _, c := range []struct {
		link int
		data []byte
		want string
	}{
		{147, make([]byte, 60), "len 60 [link type 147 (for private use) is not decoded]"},
		{pcap.LinkEthernet, make([]byte, 9), "len 9 [Ethernet header: 9 bytes, want 14]"},
		{pcap.LinkRaw, []byte{0xff, 1, 2}, "len 3 [IP header: version 15]"},
		{pcap.LinkNull, []byte{2, 0, 0, 0, 0xff}, "ethertype 0x0800 len 1 [IPv4 header: version 15]"},
		{pcap.LinkSLL, sll, "02:00:00:00:00:09: ethertype 0x88b5 len 7"},
		{pcap.LinkEthernet, make([]byte, 60), "00:00:00:00:00:00 > 00:00:00:00:00:00: 802.3 len 0"},
	} {
		var d pcap.Describer
		if got := d.Frame(c.link, c.data, len(c.data)); got != c.want {
			t.Errorf("link type %d:\n got %s\nwant %s", c.link, got, c.want)
		}
	}
}
