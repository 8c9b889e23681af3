package replay

import (
	"bytes"
	"encoding/binary"
)

// dnsState is what a datagram peer knows of DNS queries of its live end. A resolver
// draws the ID of each query and asks again when it pleases: neither is compared.
type dnsState struct {
	optional []bool            // of Datagrams: a query that repeats one before it
	ids      map[uint16]uint16 // captured IDs to those of the live end
}

func newDNSState(p *Played) *dnsState {
	s := &dnsState{optional: make([]bool, len(p.Datagrams))}
	for i, d := range p.Datagrams {
		if d.From != p.Live || !p.asks(d.Payload) {
			continue
		}
		if s.ids == nil {
			s.ids = map[uint16]uint16{}
		}
		for _, w := range p.Datagrams[:i] {
			s.optional[i] = s.optional[i] || w.From == p.Live && bytes.Equal(w.Payload, d.Payload)
		}
	}
	return s
}

// asks reports whether a datagram of the live end is a DNS query.
func (p *Played) asks(b []byte) bool {
	if p.Proto != UDP || p.Live != 0 {
		return false
	}
	m, ok := parseDNS(b, p.Ends)
	return ok && !m.response
}

// asksAgain reports whether a datagram is a query that was asked before.
func (p *datagramPeer) asksAgain(b []byte) bool {
	if !p.asks(b) {
		return false
	}
	for i, w := range p.Datagrams {
		if w.From == p.Live && p.came[i] && len(w.Payload) == len(b) && bytes.Equal(w.Payload[2:], b[2:]) &&
			p.dns.ids[binary.BigEndian.Uint16(w.Payload)] == binary.BigEndian.Uint16(b) {
			return true
		}
	}
	return false
}

// moot reports whether played datagram i answers a query that the live end did not
// repeat this time, and was given already.
func (p *datagramPeer) moot(i int) bool {
	d := p.Datagrams[i]
	if m, ok := parseDNS(d.Payload, p.Ends); !ok || !m.response || p.dns.ids == nil {
		return false
	}
	again, absent := false, false
	for j, w := range p.Datagrams[:i] {
		again = again || w.From == p.me && bytes.Equal(w.Payload, d.Payload)
		absent = absent || p.dns.optional[j] && !p.came[j] && bytes.Equal(w.Payload[:2], d.Payload[:2])
	}
	return again && absent
}

// sameQuery reports whether a datagram is captured query i but for its ID.
func (p *datagramPeer) sameQuery(i int, b []byte) bool {
	w := p.Datagrams[i].Payload
	return p.asks(b) && len(w) == len(b) && bytes.Equal(w[2:], b[2:])
}

// query makes the ID of a query that of the captured one, and notes it.
func (p *datagramPeer) query(want, b []byte) []byte {
	if !p.asks(b) || !p.asks(want) {
		return b
	}
	id := binary.BigEndian.Uint16(want)
	p.dns.ids[id] = binary.BigEndian.Uint16(b)
	if p.dns.ids[id] == id {
		return b
	}
	p.e.report.count("dns-id")
	return append(bytes.Clone(want[:2]), b[2:]...)
}

// answer gives a played answer the ID of the live end's query.
func (p *datagramPeer) answer(payload []byte) {
	if m, ok := parseDNS(payload, p.Ends); ok && p.Proto == UDP && m.response {
		if id, asked := p.dns.ids[m.id]; asked {
			binary.BigEndian.PutUint16(payload, id)
		}
	}
}
