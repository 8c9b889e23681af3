package pcap

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// FixSums says which checksums a [Rewriter] makes right.
type FixSums uint8

// The ways. Whatever of them but FixNone: where an address or port is changed, the
// sums that count it in are updated by the difference (RFC 1624), so that one
// which was right is right afterwards, also that of a fragment, of a frame snapped
// short, or of a packet that an ICMP error quotes, whose other bytes are not there.
const (
	// FixChanged also computes anew those sums of changed frames that are wrong,
	// as they are where a network card was to fill them in: IPv4, TCP, UDP, ICMP
	// and ICMPv6, where all the bytes are there. UDP's 0 over IPv4, which means
	// none, stays.
	FixChanged FixSums = iota
	// FixAll does so for all frames.
	FixAll
	// FixKeep leaves wrong sums as wrong as they were.
	FixKeep
	// FixNone leaves all sums as they are.
	FixNone
)

// ParseFixSums reads changed, all, keep or none.
func ParseFixSums(text string) (FixSums, error) {
	words := []string{"changed", "all", "keep", "none"}
	i := slices.Index(words, text)
	if i < 0 {
		return 0, fmt.Errorf("%q: want %s", text, strings.Join(words, ", "))
	}
	return FixSums(i), nil
}

// Mapping is one thing that a [Rewriter] changes.
type Mapping struct {
	kind mappingKind
	text string
	mac  [2]vswitch.MAC // old and new, as in all pairs here
	ip   [2]netip.Prefix
	port [2]uint16
	vlan [2]int // new -1: the tag is taken off; old -1: one is put on
}

type mappingKind uint8

const (
	mapMAC mappingKind = iota
	mapIP
	mapPort
	mapVLAN
)

var mappingNames = [...]string{"mac", "ip", "port", "vlan"}

// String is the mapping as it was written, with what it is about: "ip 10.0.0.1=10.9.0.1".
func (m Mapping) String() string { return mappingNames[m.kind] + " " + m.text }

// pair splits OLD=NEW.
func pair(text, example string) (from, to string, err error) {
	from, to, ok := strings.Cut(text, "=")
	if !ok || from == "" || to == "" || strings.Contains(to, "=") {
		return "", "", fmt.Errorf("%q: want OLD=NEW, such as %s", text, example)
	}
	return from, to, nil
}

// MapMAC reads OLD=NEW of MAC addresses. It is about the addresses of Ethernet
// frames, in ARP, in the link-layer address options of neighbour discovery, and
// the sender's in Linux cooked captures.
func MapMAC(text string) (Mapping, error) {
	m := Mapping{kind: mapMAC, text: text}
	from, to, err := pair(text, "02:00:00:00:00:01=02:00:00:00:00:02")
	if err == nil {
		m.mac[0], err = vswitch.ParseMAC(from)
	}
	if err == nil {
		m.mac[1], err = vswitch.ParseMAC(to)
	}
	return m, err
}

// MapIP reads OLD=NEW of IP addresses, or of networks with prefixes of one length,
// whose hosts keep their part of the address. Of several mappings that are about an
// address, that with the longest prefix counts. It is about source and destination
// in IPv4 and IPv6 headers, the addresses in ARP, the targets, destinations and
// prefixes of neighbour discovery, the gateway of an ICMP redirect, and the headers
// that ICMP errors quote. It is not about what else an address follows from (a
// multicast MAC, a solicited-node address), about options and tunnels, and about
// the contents of protocols such as DNS.
func MapIP(text string) (Mapping, error) {
	m := Mapping{kind: mapIP, text: text}
	from, to, err := pair(text, "10.0.0.1=10.9.0.1 or 10.0.0.0/24=10.9.0.0/24")
	if err != nil {
		return m, err
	}
	for i, s := range []string{from, to} {
		if m.ip[i], err = parseNetwork(s); err != nil {
			return m, err
		}
	}
	switch a, b := m.ip[0], m.ip[1]; {
	case a.Addr().Is4() != b.Addr().Is4():
		return m, fmt.Errorf("%q: IPv4 and IPv6 have different headers: want two addresses of one kind", text)
	case a.Bits() != b.Bits():
		return m, fmt.Errorf("%q: want prefixes of one length, and not /%d and /%d", text, a.Bits(), b.Bits())
	}
	return m, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, fmt.Errorf("%q: want an IP address", s)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Errorf("%q: want a network such as 10.0.0.0/24", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q: the network is %v", s, p.Masked())
	}
	return p, nil
}

// MapPort reads OLD=NEW of TCP and UDP ports.
func MapPort(text string) (Mapping, error) {
	m := Mapping{kind: mapPort, text: text}
	from, to, err := pair(text, "80=8080")
	if err != nil {
		return m, err
	}
	for i, s := range []string{from, to} {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return m, fmt.Errorf("%q: want a port, 0 to 65535", s)
		}
		m.port[i] = uint16(n)
	}
	return m, nil
}

// MapVLAN reads OLD=NEW, OLD=none or add=NEW of VLAN numbers in Ethernet frames:
// a tag gets another number and keeps its priority, or is taken off; or frames
// without a tag get one. Of several tags each is looked at.
func MapVLAN(text string) (Mapping, error) {
	m := Mapping{kind: mapVLAN, text: text}
	from, to, err := pair(strings.Replace(text, "add ", "add=", 1), "10=20, 10=none or add=10")
	if err != nil {
		return m, err
	}
	for i, s := range []string{from, to} {
		if i == 0 && s == "add" || i == 1 && s == "none" && from != "add" {
			m.vlan[i] = -1
			continue
		}
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n > 4094 {
			return m, fmt.Errorf("%q: want a VLAN, 0 to 4094", s)
		}
		m.vlan[i] = int(n)
	}
	return m, nil
}

// ErrMappings: mappings that contradict each other, or none. Compare with [errors.Is].
var ErrMappings = errors.New("mappings")

// Rewriter changes addresses in captured frames. What it changes it looks up in
// the frame as it was, so that two mappings may swap two addresses. A frame that
// cannot be dissected is left alone, as a whole. A Rewriter is not safe for
// concurrent use.
type Rewriter struct {
	fix     FixSums
	maps    []Mapping
	macs    map[vswitch.MAC]int // index into maps
	nets    []int               // of ip mappings, the longest prefix first
	hosts   map[netip.Addr]int  // of those with whole addresses
	ports   map[uint16]int
	vlans   map[int]int // -1: add
	resizes bool        // frames may change their length

	report Rewritten
	hit    []bool // by mapping: the current frame
}

// NewRewriter returns a rewriter. The error is [ErrMappings].
func NewRewriter(fix FixSums, maps ...Mapping) (*Rewriter, error) {
	r := &Rewriter{fix: fix, maps: maps, macs: map[vswitch.MAC]int{}, hosts: map[netip.Addr]int{}, ports: map[uint16]int{},
		vlans: map[int]int{}, hit: make([]bool, len(maps))}
	if len(maps) == 0 && fix != FixAll {
		return nil, fmt.Errorf("%w: there is nothing to change", ErrMappings)
	}
	olds := map[string]int{}
	for i, m := range maps {
		var old string
		switch m.kind {
		case mapMAC:
			old, r.macs[m.mac[0]] = m.mac[0].String(), i
		case mapIP:
			old = m.ip[0].String()
			if m.ip[0].IsSingleIP() {
				r.hosts[m.ip[0].Addr()] = i
			} else {
				r.nets = append(r.nets, i)
			}
		case mapPort:
			old, r.ports[m.port[0]] = strconv.Itoa(int(m.port[0])), i
		case mapVLAN:
			old, r.vlans[m.vlan[0]] = strconv.Itoa(m.vlan[0]), i
			r.resizes = r.resizes || m.vlan[0] < 0 || m.vlan[1] < 0
		}
		key := mappingNames[m.kind] + old
		if j, dup := olds[key]; dup {
			return nil, fmt.Errorf("%w: %v and %v are about the same", ErrMappings, maps[j], m)
		}
		olds[key] = i
		r.report.Mappings = append(r.report.Mappings, MappingCount{Mapping: m})
	}
	slices.SortStableFunc(r.nets, func(a, b int) int { return cmp.Compare(maps[b].ip[0].Bits(), maps[a].ip[0].Bits()) })
	return r, nil
}

// Rewritten is what a rewriter did.
type Rewritten struct {
	Frames   uint64 // that it was given
	Changed  uint64 // that it changed in any way
	Fixed    uint64 // of which it computed a checksum anew
	Mappings []MappingCount
	// Left says, by reason, which frames were left alone because they cannot be
	// dissected, Cut how many lost their last bytes because a tag made them longer
	// than their interface keeps.
	Left []LeftAlone
	Cut  uint64
	// Recording is true when the capture is a recording of this program: what it
	// says of ports and faults is as it was, and so [Compare] and verification
	// will find it changed.
	Recording bool
}

// MappingCount is a mapping with the number of frames that it changed.
type MappingCount struct {
	Mapping
	Frames uint64
}

// LeftAlone counts frames that were not touched.
type LeftAlone struct {
	Reason string
	Frames uint64
	First  int // number of the first of them
}

// Report returns what the rewriter did so far.
func (r *Rewriter) Report() Rewritten {
	out := r.report
	out.Mappings, out.Left = slices.Clone(out.Mappings), slices.Clone(out.Left)
	return out
}

func (r *Rewriter) left(reason string, number int) {
	for i := range r.report.Left {
		if r.report.Left[i].Reason == reason {
			r.report.Left[i].Frames++
			return
		}
	}
	r.report.Left = append(r.report.Left, LeftAlone{reason, 1, number})
}

// mapMAC puts the new address in the place of an old one.
func (r *Rewriter) mapMAC(b []byte) {
	if i, ok := r.macs[vswitch.MAC(b)]; ok {
		r.hit[i] = true
		copy(b, r.maps[i].mac[1][:])
	}
}

// mapIP does so with an address of 4 or 16 bytes.
func (r *Rewriter) mapIP(b []byte) {
	a, _ := netip.AddrFromSlice(b)
	if i, ok := r.hosts[a]; ok {
		r.hit[i] = true
		copy(b, r.maps[i].ip[1].Addr().AsSlice())
		return
	}
	for _, i := range r.nets {
		if r.maps[i].ip[0].Contains(a) {
			r.hit[i] = true
			to := r.maps[i].ip[1].Addr().AsSlice()
			for k, bits := 0, r.maps[i].ip[0].Bits(); bits > 0; k, bits = k+1, bits-8 {
				keep := byte(0xff) >> min(bits, 8)
				b[k] = to[k]&^keep | b[k]&keep
			}
			return
		}
	}
}

// mapPorts does so with the two ports at the start of a header.
func (r *Rewriter) mapPorts(b []byte) {
	for k := 0; k < 4; k += 2 {
		if i, ok := r.ports[uint16(b[k])<<8|uint16(b[k+1])]; ok {
			r.hit[i] = true
			b[k], b[k+1] = byte(r.maps[i].port[1]>>8), byte(r.maps[i].port[1])
		}
	}
}
