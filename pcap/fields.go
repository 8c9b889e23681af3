package pcap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Field is one header field of a frame, or its payload.
type Field struct {
	Name   string // as in Wireshark's display filters: ip.ttl, tcp.flags
	Value  string // as Wireshark prints it; "" for bytes that only have a length
	Offset int    // of its first byte in the frame
	Len    int    // bytes it lies in, whole bytes also for bit fields
}

// Fields dissects an Ethernet frame without FCS into its header fields, in
// order. Sequence and acknowledgement numbers are absolute (tcp.seq_raw). What
// follows the last known header is one field without a value: tcp.payload,
// udp.payload or data.data; after it, if any, eth.padding.
func Fields(data []byte) []Field {
	f := &fielder{d: Decode(data), b: data}
	f.all()
	return f.out
}

type fielder struct {
	d   *Decoded
	b   []byte
	out []Field
}

func (f *fielder) add(name string, off, n int, value string) {
	f.out = append(f.out, Field{name, value, off, n})
}

// num adds a big-endian number of 1, 2 or 4 bytes in decimal, hex in hexadecimal.
func (f *fielder) num(name string, off, n int) { f.add(name, off, n, strconv.Itoa(f.int(off, n))) }

func (f *fielder) hex(name string, off, n int) {
	f.add(name, off, n, fmt.Sprintf("0x%0*x", 2*n, f.int(off, n)))
}

func (f *fielder) int(off, n int) int {
	v := 0
	for _, x := range f.b[off : off+n] {
		v = v<<8 | int(x)
	}
	return v
}

func (f *fielder) bits(name string, off, n, shift, mask int) {
	f.add(name, off, n, strconv.Itoa(f.int(off, n)>>shift&mask))
}

func (f *fielder) mac(name string, off int) {
	f.add(name, off, 6, vswitch.MAC(f.b[off:off+6]).String())
}

func (f *fielder) addr(name string, off, n int) {
	a, _ := netip.AddrFromSlice(f.b[off : off+n])
	f.add(name, off, n, a.String())
}

func (f *fielder) all() {
	d, b := f.d, f.b
	rest := "data.data"
	if len(b) >= 14 {
		f.mac("eth.dst", 0)
		f.mac("eth.src", 6)
		off := 12
		for i, v := range d.VLANs {
			name := "eth.type"
			if i > 0 {
				name = "vlan.etype"
			}
			f.hex(name, off, 2)
			f.add("vlan.priority", off+2, 2, strconv.Itoa(int(v.Priority)))
			f.add("vlan.id", off+2, 2, strconv.Itoa(int(v.ID)))
			off += 4
		}
		switch {
		case d.EtherType < 0x600:
			f.num("eth.len", off, 2)
		case off > 12:
			f.hex("vlan.etype", off, 2)
		default:
			f.hex("eth.type", off, 2)
		}
	}
	if d.ARP != nil {
		f.arp(d.ARP.Offset)
	}
	if d.IP != nil {
		if d.IP.Version == 4 {
			f.ipv4(d.IP)
		} else {
			f.ipv6(d.IP)
		}
	}
	switch {
	case d.TCP != nil:
		f.tcp(d.TCP)
		rest = "tcp.payload"
	case d.UDP != nil:
		o := d.UDP.Offset
		f.num("udp.srcport", o, 2)
		f.num("udp.dstport", o+2, 2)
		f.num("udp.length", o+4, 2)
		f.hex("udp.checksum", o+6, 2)
		rest = "udp.payload"
	case d.ICMP != nil:
		f.icmp(d.ICMP)
	}
	end := d.PayloadOffset + len(d.Payload)
	if len(d.Payload) > 0 {
		f.add(rest, d.PayloadOffset, len(d.Payload), "")
	}
	if end < len(b) {
		f.add("eth.padding", end, len(b)-end, "")
	}
}

func (f *fielder) arp(o int) {
	f.num("arp.hw.type", o, 2)
	f.hex("arp.proto.type", o+2, 2)
	f.num("arp.hw.size", o+4, 1)
	f.num("arp.proto.size", o+5, 1)
	f.num("arp.opcode", o+6, 2)
	f.mac("arp.src.hw_mac", o+8)
	f.addr("arp.src.proto_ipv4", o+14, 4)
	f.mac("arp.dst.hw_mac", o+18)
	f.addr("arp.dst.proto_ipv4", o+24, 4)
}

func (f *fielder) ipv4(ip *IP) {
	o := ip.Offset
	f.bits("ip.version", o, 1, 4, 15)
	f.add("ip.hdr_len", o, 1, strconv.Itoa(ip.HeaderLen))
	f.hex("ip.dsfield", o+1, 1)
	f.num("ip.len", o+2, 2)
	f.hex("ip.id", o+4, 2)
	f.bits("ip.flags.rb", o+6, 1, 7, 1)
	f.bits("ip.flags.df", o+6, 1, 6, 1)
	f.bits("ip.flags.mf", o+6, 1, 5, 1)
	f.add("ip.frag_offset", o+6, 2, strconv.Itoa(ip.FragOffset/8)) // in units of 8 bytes, as Wireshark has it
	f.num("ip.ttl", o+8, 1)
	f.num("ip.proto", o+9, 1)
	f.hex("ip.checksum", o+10, 2)
	f.addr("ip.src", o+12, 4)
	f.addr("ip.dst", o+16, 4)
	if ip.HeaderLen > 20 {
		f.add("ip.options", o+20, ip.HeaderLen-20, "")
	}
}

func (f *fielder) ipv6(ip *IP) {
	o := ip.Offset
	f.bits("ipv6.version", o, 1, 4, 15)
	f.add("ipv6.tclass", o, 2, fmt.Sprintf("0x%02x", ip.TOS))
	f.add("ipv6.flow", o+1, 3, fmt.Sprintf("0x%05x", ip.FlowLabel))
	f.num("ipv6.plen", o+4, 2)
	f.num("ipv6.nxt", o+6, 1)
	f.num("ipv6.hlim", o+7, 1)
	f.addr("ipv6.src", o+8, 16)
	f.addr("ipv6.dst", o+24, 16)
	next := f.b[o+6]
	for off, end := o+40, o+ip.HeaderLen; off+8 <= end; {
		size := (int(f.b[off+1]) + 1) * 8
		switch next {
		case 44:
			size = 8
			f.num("ipv6.fraghdr.nxt", off, 1)
			f.add("ipv6.fraghdr.offset", off+2, 2, strconv.Itoa(f.int(off+2, 2)>>3))
			f.bits("ipv6.fraghdr.more", off+3, 1, 0, 1)
			f.hex("ipv6.fraghdr.ident", off+4, 4)
		case 0:
			f.add("ipv6.hopopts", off, min(size, end-off), "")
		case 43:
			f.add("ipv6.routing", off, min(size, end-off), "")
		default:
			f.add("ipv6.dstopts", off, min(size, end-off), "")
		}
		next, off = f.b[off], off+size
	}
}

func (f *fielder) tcp(t *TCP) {
	o := t.Offset
	f.num("tcp.srcport", o, 2)
	f.num("tcp.dstport", o+2, 2)
	f.num("tcp.seq_raw", o+4, 4)
	f.num("tcp.ack_raw", o+8, 4)
	f.add("tcp.hdr_len", o+12, 1, strconv.Itoa(t.HeaderLen))
	f.add("tcp.flags", o+12, 2, fmt.Sprintf("0x%04x", f.int(o+12, 2)&0xfff))
	f.num("tcp.window_size_value", o+14, 2)
	f.hex("tcp.checksum", o+16, 2)
	f.num("tcp.urgent_pointer", o+18, 2)
	at, opts := o+20, t.Options.Raw
	for len(opts) > 0 {
		kind := opts[0]
		if kind < 2 { // end of list, no operation
			f.add("tcp.options.nop", at, 1, strconv.Itoa(int(kind)))
			at, opts = at+1, opts[1:]
			continue
		}
		if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
			f.add("tcp.options", at, len(opts), "")
			return
		}
		v := opts[2:opts[1]]
		switch {
		case kind == 2 && len(v) == 2:
			f.num("tcp.options.mss_val", at+2, 2)
		case kind == 3 && len(v) == 1:
			f.num("tcp.options.wscale.shift", at+2, 1)
		case kind == 4:
			f.add("tcp.options.sack_perm", at, 2, "")
		case kind == 5 && len(v)%8 == 0:
			for i := 0; i < len(v); i += 8 {
				f.add("tcp.options.sack_le", at+2+i, 4, strconv.Itoa(int(binary.BigEndian.Uint32(v[i:]))))
				f.add("tcp.options.sack_re", at+6+i, 4, strconv.Itoa(int(binary.BigEndian.Uint32(v[i+4:]))))
			}
		case kind == 8 && len(v) == 8:
			f.num("tcp.options.timestamp.tsval", at+2, 4)
			f.num("tcp.options.timestamp.tsecr", at+6, 4)
		default:
			f.add("tcp.options", at, int(opts[1]), "kind "+strconv.Itoa(int(kind)))
		}
		at, opts = at+int(opts[1]), opts[opts[1]:]
	}
}

func (f *fielder) icmp(i *ICMP) {
	p, o := "icmp", i.Offset
	if i.Version == 6 {
		p = "icmpv6"
	}
	f.num(p+".type", o, 1)
	f.num(p+".code", o+1, 1)
	f.hex(p+".checksum", o+2, 2)
	if f.d.PayloadOffset < o+8 {
		return
	}
	switch {
	case (i.EchoRequest() || i.EchoReply()) && i.Version == 4:
		f.num("icmp.ident", o+4, 2)
		f.num("icmp.seq", o+6, 2)
	case i.EchoRequest() || i.EchoReply():
		f.hex("icmpv6.echo.identifier", o+4, 2)
		f.num("icmpv6.echo.sequence_number", o+6, 2)
	case i.Version == 4 && i.Type == 3 && i.Code == 4:
		f.hex("icmp.reserved", o+4, 2)
		f.num("icmp.mtu", o+6, 2)
	case i.Version == 4 && i.Via.IsValid():
		f.addr("icmp.redir_gw", o+4, 4)
	case i.Version == 6 && i.Type == 2:
		f.num("icmpv6.mtu", o+4, 4)
	default:
		f.add(p+".reserved", o+4, 4, fmt.Sprintf("%08x", f.int(o+4, 4)))
	}
	switch {
	case i.Target.IsValid() && i.Type == 135:
		f.addr("icmpv6.nd.ns.target_address", o+8, 16)
	case i.Target.IsValid():
		f.addr("icmpv6.nd.na.target_address", o+8, 16)
	case i.Version == 6 && i.Via.IsValid():
		f.addr("icmpv6.nd.rd.target_address", o+8, 16)
		f.addr("icmpv6.rd.na.destination_address", o+24, 16)
	}
}
