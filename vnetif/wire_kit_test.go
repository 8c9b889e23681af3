package vnetif_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/netip"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// wire is a recorder that keeps the frames and a digest of all that matters
// about them.
type wire struct {
	quiet  bool
	digest hash.Hash
	n      int
	frames []seen
}

// seen is a frame on the wire.
type seen struct {
	at   time.Duration // after the world's start
	from string
	data []byte
	hit  bool // a rule did something to it
}

func newWire(quiet bool) *wire { return &wire{quiet: quiet, digest: sha256.New()} }

func (r *wire) Record(e vswitch.Event) error {
	s, ok := e.(*vswitch.Sent)
	if !ok {
		return nil
	}
	r.n++
	fmt.Fprintf(r.digest, "%d %s %x %d\n", s.At.UnixNano(), s.From.Name(), s.Data, len(s.Hits))
	for _, rc := range s.Receivers {
		fmt.Fprintf(r.digest, " %s %v %v\n", rc.Port.Name(), rc.Lost, rc.Arrivals)
	}
	if !r.quiet {
		start := s.From.Switch().World().Start()
		r.frames = append(r.frames, seen{s.At.Sub(start), s.From.Name(), bytes.Clone(s.Data), len(s.Hits) > 0})
	}
	return nil
}

func (r *wire) Close() error { return nil }

// fingerprint is the digest of the wire, with the number of frames.
func (r *wire) fingerprint() string { return fmt.Sprintf("%d frames, %.12x", r.n, r.digest.Sum(nil)) }

// packet is an IP packet, dissected as far as these tests look.
type packet struct {
	seen
	dst, src  vswitch.MAC
	etherType uint16
	v6        bool
	ipSrc     netip.Addr
	ipDst     netip.Addr
	id        uint32 // IPv4 identification, or that of the IPv6 fragment header
	fragment  bool   // more fragments follow, or the offset is not 0
	proto     byte
	transport []byte // from the transport header on
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	tcpFIN = 1
	tcpSYN = 2
	tcpRST = 4
	tcpACK = 16
)

// dissect takes a frame apart; of what is no IP only the Ethernet header.
func dissect(f seen) packet {
	p := packet{seen: f, dst: vswitch.MAC(f.data[0:6]), src: vswitch.MAC(f.data[6:12]), etherType: binary.BigEndian.Uint16(f.data[12:])}
	ip := f.data[vswitch.HeaderLen:]
	switch p.etherType {
	case etherIPv4:
		n := int(ip[0]&15) * 4
		p.ipSrc, p.ipDst = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
		p.id = uint32(binary.BigEndian.Uint16(ip[4:]))
		p.fragment = binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
		p.proto, p.transport = ip[9], ip[n:binary.BigEndian.Uint16(ip[2:])]
	case etherIPv6:
		p.v6 = true
		p.ipSrc, p.ipDst = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
		p.proto, p.transport = ip[6], ip[40:40+int(binary.BigEndian.Uint16(ip[4:]))]
		if p.proto == 44 { // fragment header, RFC 8200
			p.fragment = true
			p.id = binary.BigEndian.Uint32(p.transport[4:])
			p.proto, p.transport = p.transport[0], p.transport[8:]
		}
	}
	return p
}

// packets dissects all frames.
func (r *wire) packets() []packet {
	var ps []packet
	for _, f := range r.frames {
		ps = append(ps, dissect(f))
	}
	return ps
}

// tcp returns the TCP segments, of one sender if from is not empty.
func (r *wire) tcp(from string) []packet {
	var ps []packet
	for _, p := range r.packets() {
		if p.proto == protoTCP && (from == "" || p.from == from) {
			ps = append(ps, p)
		}
	}
	return ps
}

func (p packet) flags() byte     { return p.transport[13] }
func (p packet) seq() uint32     { return binary.BigEndian.Uint32(p.transport[4:]) }
func (p packet) srcPort() uint16 { return binary.BigEndian.Uint16(p.transport) }
func (p packet) payload() []byte { return p.transport[int(p.transport[12]>>4)*4:] } // of TCP

// mss returns the maximum segment size that a SYN announces.
func (p packet) mss() int {
	opts := p.transport[20 : int(p.transport[12]>>4)*4]
	for len(opts) > 1 {
		switch opts[0] {
		case 0:
			return 0
		case 1:
			opts = opts[1:]
			continue
		case 2:
			return int(binary.BigEndian.Uint16(opts[2:]))
		}
		opts = opts[opts[1]:]
	}
	return 0
}

// onesComplement is the checksum of RFC 1071.
func onesComplement(parts ...[]byte) uint16 {
	var s uint32
	b := bytes.Join(parts, nil)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// checksumsRight says what is wrong with a packet's checksums; those of
// fragments' payloads cover more than the frame.
func (p packet) checksumsRight() error {
	if p.etherType == etherIPv4 {
		ip := p.data[vswitch.HeaderLen:]
		if onesComplement(ip[:int(ip[0]&15)*4]) != 0 {
			return fmt.Errorf("IPv4 header checksum")
		}
	}
	if p.fragment || p.etherType != etherIPv4 && p.etherType != etherIPv6 {
		return nil
	}
	pseudo := append(append(p.ipSrc.AsSlice(), p.ipDst.AsSlice()...), binary.BigEndian.AppendUint32(nil, uint32(len(p.transport)))...)
	pseudo = append(pseudo, 0, 0, 0, p.proto) // the same sum for IPv4's shorter form
	switch p.proto {
	case protoICMP:
		pseudo = nil
	case protoUDP:
		if !p.v6 && p.transport[6] == 0 && p.transport[7] == 0 {
			return fmt.Errorf("UDP without a checksum")
		}
	}
	if onesComplement(pseudo, p.transport) != 0 {
		return fmt.Errorf("checksum of protocol %d", p.proto)
	}
	return nil
}

// checkWire checks that every frame on the wire has right checksums and fits
// the sender's MTU.
func (l *lan) checkWire(t testing.TB) {
	t.Helper()
	if len(l.wire.frames) == 0 {
		t.Error("no frame on the wire")
	}
	for i, p := range l.wire.packets() {
		if err := p.checksumsRight(); err != nil {
			t.Errorf("frame %d (%v, %s): wrong: %v\n%x", i+1, p.at, p.from, err, p.data)
		}
	}
}
