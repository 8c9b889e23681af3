package pcap_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

var (
	macA, macB = vswitch.PortMAC(1), vswitch.PortMAC(2)
	v4         = [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	v6         = [2]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
)

func drawSegment(t *rapid.T) pcap.Segment {
	a := v4
	if rapid.Bool().Draw(t, "v6") {
		a = v6
	}
	return pcap.Segment{
		DstMAC: macB, SrcMAC: macA,
		Src: netip.AddrPortFrom(a[0], rapid.Uint16().Draw(t, "sport")), Dst: netip.AddrPortFrom(a[1], rapid.Uint16().Draw(t, "dport")),
		Seq: rapid.Uint32().Draw(t, "seq"), Ack: rapid.Uint32().Draw(t, "ack"),
		Flags: pcap.TCPFlags(rapid.Uint8().Draw(t, "flags")), Window: rapid.Uint16().Draw(t, "window"),
		Timestamps: rapid.Bool().Draw(t, "ts"), TSVal: rapid.Uint32().Draw(t, "tsval"), TSEcr: rapid.Uint32().Draw(t, "tsecr"),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload"),
	}
}

func must(t rapid.TB, frame []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestBuildTCPDecodesToWhatWasAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSegment(t)
		f, err := pcap.BuildTCP(s)
		d := pcap.Decode(must(t, f, err))
		if d.Problem != "" || d.TCP == nil {
			t.Fatalf("%+v", d)
		}
		have := pcap.Segment{
			DstMAC: d.Dst, SrcMAC: d.Src, Src: netip.AddrPortFrom(d.IP.Src, d.TCP.SrcPort), Dst: netip.AddrPortFrom(d.IP.Dst, d.TCP.DstPort),
			Seq: d.TCP.Seq, Ack: d.TCP.Ack, Flags: d.TCP.Flags, Window: d.TCP.Window,
			Timestamps: d.TCP.Options.Timestamps, TSVal: d.TCP.Options.TSVal, TSEcr: d.TCP.Options.TSEcr, Payload: d.Payload,
		}
		if !s.Timestamps {
			s.TSVal, s.TSEcr = 0, 0
		}
		if diff := cmp.Diff(s, have, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		checkSums(t, f)
	})
}

func checkSums(t rapid.TB, f []byte) {
	t.Helper()
	d := pcap.Decode(f)
	if s := d.IPChecksum(f); d.IP.Version == 4 && s != pcap.SumGood {
		t.Fatalf("IP checksum %v", s)
	}
	if s := d.TransportChecksum(f); s != pcap.SumGood {
		t.Fatalf("transport checksum %v", s)
	}
}

func TestPatchTCPChangesWhatWasAskedAndTheChecksums(t *testing.T) {
	sacked := frames(t, "02a-http-loss.a.pcapng")
	rapid.Check(t, func(t *rapid.T) {
		f := append([]byte(nil), sacked[rapid.IntRange(2, len(sacked)-1).Draw(t, "frame")].data...)
		before := pcap.Decode(append([]byte(nil), f...))
		if before.TCP == nil {
			t.Skip("not TCP")
		}
		p := pcap.TCPPatch{AddSeq: rapid.Uint32().Draw(t, "seq"), AddAck: rapid.Uint32().Draw(t, "ack"), DstPort: 99, Timestamps: true, TSVal: 5, TSEcr: rapid.Uint32().Draw(t, "ecr")}
		blank := rapid.Bool().Draw(t, "blank SACK")
		if blank {
			p.Blank = []uint8{5}
		}
		if p.SetAck = rapid.Bool().Draw(t, "set ack"); p.SetAck {
			p.Ack = rapid.Uint32().Draw(t, "new ack")
		}
		if err := pcap.PatchTCP(f, p); err != nil {
			t.Fatal(err)
		}
		after := pcap.Decode(f)
		want := *before.TCP
		want.Seq += p.AddSeq
		want.DstPort = 99
		if want.Flags.Has(pcap.ACK) {
			want.Ack += p.AddAck
			if p.SetAck {
				want.Ack = p.Ack
			}
		}
		want.Options.SACK = nil
		if !blank {
			for _, k := range before.TCP.Options.SACK {
				want.Options.SACK = append(want.Options.SACK, pcap.SACKBlock{Left: k.Left + p.AddAck, Right: k.Right + p.AddAck})
			}
		}
		want.Options.TSVal, want.Options.TSEcr = 5, p.TSEcr
		if diff := cmp.Diff(&want, after.TCP, cmpopts.IgnoreFields(pcap.TCPOptions{}, "Raw")); diff != "" {
			t.Fatal(diff)
		}
		if !bytes.Equal(before.Payload, after.Payload) {
			t.Fatal("the payload changed")
		}
		checkSums(t, f)
	})
}

func TestPatchTCPRefusesOthers(t *testing.T) {
	udp, err := pcap.BuildIP(macB, macA, v4[0], v4[1], pcap.ProtoUDP, 64, make([]byte, 8))
	for name, f := range map[string][]byte{"nothing": nil, "runt": {1, 2, 3}, "UDP": must(t, udp, err)} {
		if err := pcap.PatchTCP(f, pcap.TCPPatch{}); err != pcap.ErrNotTCP {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFragmentsGiveTheDatagramBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, over := v4, 0
		if rapid.Bool().Draw(t, "v6") {
			a, over = v6, 8
		}
		seg := rapid.SliceOfN(rapid.Byte(), 8, 5000).Draw(t, "segment")
		seg[4], seg[5] = byte(len(seg)>>8), byte(len(seg))
		mtu := rapid.IntRange(68+over, 1500).Draw(t, "mtu")
		frame, err := pcap.BuildIP(macB, macA, a[0], a[1], pcap.ProtoUDP, 64, seg)
		must(t, frame, err)
		whole := pcap.Decode(frame)
		parts, err := pcap.Fragment(frame, mtu, 77)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(seg))
		n, end := 0, 0
		for i, f := range parts {
			d := pcap.Decode(f)
			if len(f)-14 > mtu && len(parts) > 1 {
				t.Fatalf("fragment %d has %d bytes, MTU %d", i, len(f)-14, mtu)
			}
			if d.IP.Version == 4 && d.IPChecksum(f) != pcap.SumGood {
				t.Fatalf("fragment %d: IP checksum %v", i, d.IPChecksum(f))
			}
			if d.IP.More != (i < len(parts)-1) {
				t.Fatalf("fragment %d of %d: more=%v", i, len(parts), d.IP.More)
			}
			body := f[d.IP.Offset+d.IP.HeaderLen:]
			n += copy(got[d.IP.FragOffset:], body)
			end = max(end, d.IP.FragOffset+len(body))
		}
		if n != len(seg) || end != len(seg) {
			t.Fatalf("%d bytes up to %d, want %d", n, end, len(seg))
		}
		again := pcap.DecodeDatagram(pcap.Decode(parts[0]).IP, got)
		if again.UDP == nil || again.UDP.Length != len(seg) || !bytes.Equal(again.Payload, whole.Payload) {
			t.Fatalf("reassembled %+v", again)
		}
	})
}

func TestAnswersToARPAndNeighbourSolicitation(t *testing.T) {
	for _, f := range frames(t, "03-rst-closed-port.a.pcapng") {
		d := pcap.Decode(f.data)
		var s pcap.Describer
		switch {
		case d.ARP != nil && d.ARP.Operation == 1:
			r, err := pcap.BuildARPReply(d.ARP, macB)
			r = must(t, r, err)
			if have, want := s.Frame(pcap.LinkEthernet, r, len(r)), "ARP reply 10.77.0.2 is-at 02:00:00:00:00:02"; have != want {
				t.Errorf("%s, want %s", have, want)
			}
			if a := pcap.Decode(r); a.Dst != d.Src || a.ARP.TargetIP != d.ARP.SenderIP || a.ARP.TargetMAC != d.ARP.SenderMAC {
				t.Errorf("the reply goes to the wrong station: %+v", a)
			}
		case d.ICMP != nil && d.ICMP.Type == 135:
			r, err := pcap.BuildNeighborAdvertisement(d, macB)
			r = must(t, r, err)
			if have, want := s.Frame(pcap.LinkEthernet, r, len(r)), "fd77::2 > fd77::1: ICMPv6 neighbor advertisement fd77::2 len 32"; have != want {
				t.Errorf("%s, want %s", have, want)
			}
			checkSums(t, r)
		}
	}
}

// Questions are what the kernel asked, byte for byte, in a capture.
func TestQuestionsAreAsCaptured(t *testing.T) {
	asked := map[string]bool{}
	for _, f := range frames(t, "03-rst-closed-port.a.pcapng") {
		d := pcap.Decode(f.data)
		switch {
		case d.ARP != nil && d.ARP.Operation == 1:
			q, err := pcap.BuildARPRequest(d.Src, d.ARP.SenderIP, d.ARP.TargetIP)
			if q = must(t, q, err); d.Dst.IsGroup() && !bytes.Equal(q, f.data) {
				t.Errorf("ARP request\n%x, want\n%x", q, f.data)
			}
			asked["ARP"] = true
		case d.ICMP != nil && d.ICMP.Type == 135:
			q, err := pcap.BuildNeighborSolicitation(d.Src, d.IP.Src, d.ICMP.Target)
			q = must(t, q, err)
			if d.Dst.IsGroup() && !bytes.Equal(q, f.data) {
				t.Errorf("neighbour solicitation\n%x, want\n%x", q, f.data)
			}
			checkSums(t, q)
			asked["ND"] = true
		}
	}
	if len(asked) != 2 {
		t.Errorf("the capture has %v", asked)
	}
	v6 := netip.MustParseAddr("fd77::2")
	if _, err := pcap.BuildARPRequest(macA, v4[0], v6); err == nil {
		t.Error("an ARP request for an IPv6 address")
	}
	if _, err := pcap.BuildNeighborSolicitation(macA, v6, v4[0]); err == nil {
		t.Error("a neighbour solicitation for an IPv4 address")
	}
}

func FuzzDissect(f *testing.F) {
	for _, name := range append(append([]string{}, ethernetCaptures...), otherCaptures...) {
		for i, fr := range frames(f, name) {
			if i < 12 && len(fr.data) < 200 {
				f.Add(uint16(fr.linkType), fr.data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, link uint16, data []byte) {
		orig := append([]byte(nil), data...)
		d := pcap.DecodeLink(int(link), data)
		if d.PayloadOffset < 0 || d.PayloadOffset+len(d.Payload) > len(data) || d.Missing < 0 || d.PayloadLen < 0 {
			t.Fatalf("payload at %d, %d bytes of %d, missing %d", d.PayloadOffset, len(d.Payload), len(data), d.Missing)
		}
		if d.PayloadOffset+len(d.Payload) <= len(data) && len(d.Payload) > 0 && &data[d.PayloadOffset] != &d.Payload[0] {
			t.Fatal("PayloadOffset is not where Payload starts")
		}
		if d.Problem == "" && d.IP != nil && d.PayloadLen != len(d.Payload)+d.Missing {
			t.Fatalf("payload %d, %d missing, length %d", len(d.Payload), d.Missing, d.PayloadLen)
		}
		d.IPChecksum(data)
		d.TransportChecksum(data)
		for _, x := range pcap.Fields(data) {
			if x.Offset < 0 || x.Len < 0 || x.Offset+x.Len > len(data) {
				t.Fatalf("field %+v outside %d bytes", x, len(data))
			}
		}
		if diff := pcap.Diff(data, data); len(diff) != 0 {
			t.Fatalf("a frame differs from itself: %+v", diff)
		}
		var s pcap.Describer
		line := s.Frame(int(link), data, len(data))
		if line != pcap.Printable(line) {
			t.Fatalf("unprintable line %q", line)
		}
		pcap.Fragment(data, 100, 1)
		if !bytes.Equal(orig, data) {
			t.Fatal("the frame was changed")
		}
		pcap.PatchTCP(data, pcap.TCPPatch{AddAck: 7, Timestamps: true, Blank: []uint8{5}})
	})
}
