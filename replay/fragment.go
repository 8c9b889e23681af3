package replay

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
)

// Bounds of reassembly (RFC 791: a datagram has at most 65,535 bytes).
const (
	maxDatagram    = 65535
	maxReassembled = 1024 // datagrams in the making
	// maxReassembly is how long the fragments of a capture wait for each other (RFC
	// 8200, 4.5, and RFC 1122, 3.3.2): an identification comes again.
	maxReassembly = time.Minute
)

// reassembler puts IP fragments together. The zero value is ready for use.
type reassembler struct {
	open  map[fragmentKey]*partial
	order []fragmentKey // oldest first, to forget when there are too many
	lost  []*Frame      // fragments that were forgotten, or that cannot be one's
}

type fragmentKey struct {
	src, dst netip.Addr
	proto    uint8
	id       uint32
}

// partial is a datagram in the making.
type partial struct {
	head   *pcap.IP // of the first fragment
	data   []byte
	have   ranges
	total  int // length, -1 while the last fragment is missing
	frames []*Frame
}

// add takes a fragment. body is the fragment's payload; it is copied. It returns
// the datagram when it is complete.
func (r *reassembler) add(ip *pcap.IP, body []byte, f *Frame) *partial {
	key := fragmentKey{ip.Src, ip.Dst, ip.Protocol, ip.ID}
	if ip.Version == 6 {
		key.proto = 0 // only the first fragment's counts (RFC 8200, 4.5)
	}
	end := ip.FragOffset + len(body)
	if end > maxDatagram {
		if f != nil {
			r.lost = append(r.lost, f)
		}
		return nil
	}
	p := r.open[key]
	if p != nil && f != nil && f.At-p.frames[0].At > maxReassembly {
		r.lost = append(r.lost, p.frames...)
		r.forget(key)
		p = nil
	}
	if p == nil {
		if r.open == nil {
			r.open = map[fragmentKey]*partial{}
		}
		if len(r.order) >= maxReassembled {
			if p := r.open[r.order[0]]; p != nil {
				r.lost = append(r.lost, p.frames...)
			}
			delete(r.open, r.order[0])
			r.order = r.order[1:]
		}
		p = &partial{total: -1}
		r.open[key] = p
		r.order = append(r.order, key)
	}
	if end > len(p.data) {
		p.data = append(p.data, make([]byte, end-len(p.data))...)
	}
	for _, gap := range p.have.add(int64(ip.FragOffset), int64(end)) {
		copy(p.data[gap.from:gap.to], body[gap.from-int64(ip.FragOffset):])
	}
	if ip.FragOffset == 0 {
		head := *ip
		p.head = &head
	}
	if !ip.More {
		p.total = end
	}
	if f != nil {
		p.frames = append(p.frames, f)
	}
	if p.head == nil || p.total < 0 || p.have.end(0) < int64(p.total) {
		return nil
	}
	p.data = p.data[:p.total]
	r.forget(key)
	return p
}

// forget takes a datagram out of those in the making.
func (r *reassembler) forget(key fragmentKey) {
	delete(r.open, key)
	if i := slices.Index(r.order, key); i >= 0 {
		r.order = slices.Delete(r.order, i, i+1)
	}
}

// ranges is a set of half-open intervals of stream offsets, ordered and apart.
type ranges []interval

type interval struct{ from, to int64 }

// add puts [from,to) into the set and returns the parts that were not in it.
func (r *ranges) add(from, to int64) (fresh []interval) {
	if from >= to {
		return nil
	}
	i, _ := slices.BinarySearchFunc(*r, from, func(x interval, from int64) int { return cmp.Compare(x.to, from) })
	j, at, lo, hi := i, from, from, to
	for j < len(*r) && (*r)[j].from <= to {
		if at < (*r)[j].from {
			fresh = append(fresh, interval{at, (*r)[j].from})
		}
		at = max(at, (*r)[j].to)
		lo, hi = min(lo, (*r)[j].from), max(hi, (*r)[j].to)
		j++
	}
	if at < to {
		fresh = append(fresh, interval{at, to})
	}
	*r = slices.Replace(*r, i, j, interval{lo, hi})
	return fresh
}

// end returns the end of the interval that holds from, or from.
func (r ranges) end(from int64) int64 {
	i, _ := slices.BinarySearchFunc(r, from+1, func(x interval, to int64) int { return cmp.Compare(x.to, to) })
	if i < len(r) && r[i].from <= from {
		return r[i].to
	}
	return from
}
