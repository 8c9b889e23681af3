package pcap

import (
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
)

// Direction says whether an interface received or sent a packet.
type Direction uint8

// The directions, with the numbers of the pcapng format.
const (
	DirectionUnknown Direction = iota
	Inbound
	Outbound
)

// String returns "unknown", "inbound" or "outbound".
func (d Direction) String() string {
	return [...]string{"unknown", "inbound", "outbound"}[d]
}

// Packet is one packet of a capture. It belongs to whoever got it, with all it
// points to. (Data is cut from a larger allocation that holds neighbouring
// packets; to keep one packet of many for long, clone it.)
type Packet struct {
	// Number is the frame number that Wireshark shows, from 1. Wireshark also
	// numbers some blocks that are no packets, so numbers may have gaps.
	Number int
	// Offset is where the packet's block or record starts, in bytes from the
	// start of the file, or of what a compressed one holds.
	Offset int64
	// Time is when it was captured, UTC. In a recording, when it was sent. It is
	// the zero Time if the block has none (a simple packet block).
	Time time.Time
	// Interface is an index into [Reader.Interfaces]; it counts on over sections.
	Interface int
	// LinkType is the LINKTYPE_ value of the interface; packets of any are given.
	LinkType int
	// Data is the packet as far as it was captured, with its frame check sequence
	// if the capture has that: [Packet.Frame] is without it.
	Data []byte
	// OrigLen is how long it was, in bytes; at least len(Data).
	OrigLen int
	// FCSLen is how many bytes at the end of OrigLen are the frame check sequence
	// of an Ethernet frame, as far as the file tells. They need not have been captured.
	FCSLen int
	// Comments, ours (see [ParseFate]) and others'.
	Comments []string
	// Direction and Flags are of the flags word (epb_flags), 0 if there is none.
	Direction Direction
	Flags     uint32
	// ID is the packet id, 0 for none. In a recording, the number of the frame.
	ID uint64
	// Lost is how many packets of the interface who made the capture lost between this
	// one and the one before (epb_dropcount), as far as it says so.
	Lost uint64

	wireLen int  // the original length as the file has it, which may be too small
	stray   bool // the block holds bytes that mean nothing: see strayBytes
}

// Section is one section header of a pcapng file.
type Section struct {
	Hardware, OS, Application string
	Comments                  []string
	BigEndian                 bool
}

// Reader reads a capture from its start to its end, once: pcapng, and classic
// pcap in microseconds and nanoseconds, in either byte order, plain, in gzip or in
// zstd; the package comment lists them. It never seeks, holds one block at a time in memory, and does not believe
// lengths: a block or record of more than 16 MiB is damage.
//
// It is not safe for concurrent use.
type Reader struct {
	name   string
	format string
	zip    bool // offsets count uncompressed bytes
	closer io.Closer
	src    source
	err    error // what Next returns from now on

	meta    Meta
	metaErr error

	data    []byte   // rest of the chunk that packets' data is cut from
	packets []Packet // rest of the chunk of packets
}

// source is a scanner with the pcapgo reader that reads from it.
type source interface {
	// next returns the next packet and what the scanner knows of it. data is
	// valid until the next call.
	next() (data []byte, iface int, at time.Time, sc *scanned, err error)
	interfaces() []*Interface
	sections() []Section
	otherBlocks() []BlockCount
}

// Open opens a capture; "-" is the standard input. The error is a
// [*FormatError], a [*TruncatedError] for a file cut before the end of its
// header, or the operating system's.
func Open(path string) (*Reader, error) {
	if path == "-" {
		return NewReader(os.Stdin, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer = f
	return r, nil
}

// CountFrames returns how many frames there are in the capture at path. With an error
// it is how many came before.
func CountFrames(path string) (n int, err error) {
	r, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for _, err := range r.Packets() {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// NewReader reads a capture from r, which may be a pipe; name is what errors
// call it. It reads the header. Errors are as for [Open].
func NewReader(r io.Reader, name string) (*Reader, error) {
	br, k, pack, err := sniff(r, name)
	if err != nil {
		return nil, err
	}
	rd := &Reader{name: name, zip: pack != plain, metaErr: ErrNoMeta}
	in := input{r: br, ahead: br, name: name, zip: pack != plain}
	switch k {
	case kindPcapng:
		rd.format = "pcapng"
		rd.src, err = newNgSource(in)
	case kindPcap:
		rd.src, rd.format, err = newPcapSource(in)
	}
	if err != nil {
		return nil, err
	}
	if pack != plain {
		rd.format += ", " + string(pack)
	}
	rd.findMeta()
	return rd, nil
}

// findMeta looks for the run's description among the comments of the first section.
func (r *Reader) findMeta() {
	if sections := r.src.sections(); len(sections) > 0 {
		r.meta, r.metaErr = ParseMeta(sections[0].Comments...)
	}
}

// Name returns the name that errors call the input.
func (r *Reader) Name() string { return r.name }

// Format says what the input is: "pcapng", "pcap, microseconds, big-endian",
// "pcap (AIX) version 2.2, nanoseconds, big-endian", with ", gzip" or ", zstd"
// behind if it is compressed.
func (r *Reader) Format() string { return r.format }

// Meta returns the run's description, if the first section has one.
func (r *Reader) Meta() (Meta, bool) { return r.meta, r.metaErr == nil }

// MetaError says why there is no [Meta]: [ErrNoMeta], or what is wrong with it.
func (r *Reader) MetaError() error { return r.metaErr }

// Interfaces returns the interfaces read so far. After the last packet it is
// complete, with statistics. The slice is the caller's; what Stats points to is shared.
// It copies all of them; for that of a packet, take [Reader.Interface].
func (r *Reader) Interfaces() []Interface {
	ifaces := r.src.interfaces()
	all := make([]Interface, len(ifaces))
	for i, ifc := range ifaces {
		all[i] = *ifc
	}
	return all
}

// Interface returns interface i of those read so far, such as a packet's.
func (r *Reader) Interface(i int) Interface { return *r.src.interfaces()[i] }

// CutShort returns why the recorded run ended before its time (see
// [Statistics]), as far as that has been read, or "": statistics come last. It is
// text of the file.
func (r *Reader) CutShort() string {
	ifaces := r.src.interfaces()
	for _, ifc := range ifaces {
		if st := ifc.Stats; st != nil && st.Cut != "" {
			return st.Cut
		}
	}
	return ""
}

// OtherBlocks counts the blocks of a pcapng file read so far that are no packets
// and that nothing here is made of, by type, in the order in which types came.
func (r *Reader) OtherBlocks() []BlockCount { return r.src.otherBlocks() }

// Sections returns the section headers read so far, of a pcapng file.
func (r *Reader) Sections() []Section { return slices.Clone(r.src.sections()) }

// Next returns the next packet; after the last one, and then always,
// [io.EOF], a [*TruncatedError] if the input was cut, a [*FormatError] if it is
// damaged, or an error of reading.
func (r *Reader) Next() (*Packet, error) {
	if r.err != nil {
		return nil, r.err
	}
	data, iface, at, sc, err := r.src.next()
	if err != nil {
		r.err = err
		return nil, err
	}
	p := r.packet(len(data) > dataChunk/4 || len(sc.comments) > 4)
	r.set(p, r.keep(data), iface, at, sc)
	return p, nil
}

// NextInto is [Reader.Next] into a packet of the caller's, whose Data is valid until the
// next call only. It copies nothing, and allocates for comments only.
func (r *Reader) NextInto(p *Packet) error {
	if r.err != nil {
		return r.err
	}
	data, iface, at, sc, err := r.src.next()
	if err != nil {
		r.err = err
		return err
	}
	r.set(p, data, iface, at, sc)
	return nil
}

// set fills in a packet.
func (r *Reader) set(p *Packet, data []byte, iface int, at time.Time, sc *scanned) {
	ifc := r.src.interfaces()[iface]
	*p = Packet{
		Number:    sc.frame,
		Offset:    sc.offset,
		Time:      at,
		Interface: iface,
		LinkType:  ifc.LinkType,
		Data:      data,
		OrigLen:   max(sc.origLen, len(data)),
		FCSLen:    fcsLen(ifc, sc.flags),
		Comments:  sc.comments,
		Direction: direction(sc.flags),
		Flags:     sc.flags,
		ID:        sc.id,
		Lost:      sc.lost,
		wireLen:   sc.origLen,
		stray:     sc.stray,
	}
}

// packet returns a new packet. They are made in chunks; a chunk is alive while one of
// its packets is, so a packet that holds much gets an allocation of its own.
func (r *Reader) packet(large bool) *Packet {
	if large {
		return new(Packet)
	}
	if len(r.packets) == 0 {
		r.packets = make([]Packet, 64)
	}
	p := &r.packets[0]
	r.packets = r.packets[1:]
	return p
}

// direction is in the two low bits of the flags word; 3 is not defined.
func direction(flags uint32) Direction {
	if d := Direction(flags & 3); d <= Outbound {
		return d
	}
	return DirectionUnknown
}

// dataChunk is the size of the allocations that small packets' data is cut from.
const dataChunk = 64 << 10

// keep copies data into a chunk: an allocation per packet would cost more than
// all the rest.
func (r *Reader) keep(data []byte) []byte {
	if len(data) > dataChunk/4 {
		return slices.Clone(data)
	}
	if len(data) > len(r.data) {
		r.data = make([]byte, dataChunk)
	}
	n := copy(r.data, data)
	kept := r.data[:n:n]
	r.data = r.data[n:]
	return kept
}

// Packets iterates over the rest of the packets. The last pair has a nil packet
// and the error, unless that is [io.EOF].
func (r *Reader) Packets() iter.Seq2[*Packet, error] {
	return func(yield func(*Packet, error) bool) {
		for {
			p, err := r.Next()
			if err == io.EOF || !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// Close closes the file that [Open] opened. It may be called more than once.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	c := r.closer
	r.closer = nil
	if r.err == nil {
		r.err = os.ErrClosed
	}
	return c.Close()
}

// ngSource reads pcapng.
type ngSource struct {
	scan    *ngScanner
	ng      *pcapgo.NgReader
	section int // pcapgo's section, from 0
	base    int // its first interface
	done    int // interfaces that have their strings
}

func newNgSource(in input) (*ngSource, error) {
	s := &ngSource{scan: &ngScanner{input: in}}
	ng, err := pcapgo.NewNgReader(s.scan, pcapgo.NgReaderOptions{
		WantMixedLinkType: true,
		SectionEndCallback: func(ifaces []pcapgo.NgInterface, info pcapgo.NgSectionInfo) {
			s.describe(ifaces[s.done-s.base:])
			s.base = s.done
			s.describeSection(info)
			s.section++
		},
	})
	if err != nil {
		return nil, s.cause(err)
	}
	s.ng = ng
	s.describeSection(ng.SectionInfo())
	return s, nil
}

// cause is the scanner's reason for an error of pcapgo.
func (s *ngSource) cause(err error) error {
	if s.scan.err != nil {
		return s.scan.err
	}
	return s.scan.damaged("%v", err)
}

// describe takes over the strings of the next interfaces.
func (s *ngSource) describe(fresh []pcapgo.NgInterface) {
	for _, n := range fresh {
		ifc := s.scan.ifaces[s.done]
		ifc.Name, ifc.Description = untilNUL(n.Name), untilNUL(n.Description)
		ifc.LinkType = int(n.LinkType)
		if p, ok := parsePortInfo(ifc.Description, ifc.Comment); ok {
			ifc.Port, ifc.IsPort = p, true
		}
		s.done++
	}
}

// describeSection takes over the strings of the section pcapgo is in.
func (s *ngSource) describeSection(info pcapgo.NgSectionInfo) {
	sec := &s.scan.sections[s.section]
	sec.Hardware, sec.OS, sec.Application = untilNUL(info.Hardware), untilNUL(info.OS), untilNUL(info.Application)
}

func (s *ngSource) next() ([]byte, int, time.Time, *scanned, error) {
	// What pcapgo has read it has used up, but for the end of a block, which it passes over
	// before it reads the next one.
	if len(s.scan.serve) == 0 {
		if data, iface, ok := s.scan.nextPacket(); ok {
			ifc := s.scan.ifaces[iface]
			return data, iface, ifc.res.time(s.scan.cur.units, ifc.offset), &s.scan.cur, nil
		}
	}
	section := s.section
	data, ci, err := s.ng.ZeroCopyReadPacketData()
	if s.base+s.ng.NInterfaces() > s.done {
		fresh := make([]pcapgo.NgInterface, 0, s.base+s.ng.NInterfaces()-s.done)
		for i := s.done - s.base; i < s.ng.NInterfaces(); i++ {
			n, _ := s.ng.Interface(i)
			fresh = append(fresh, n)
		}
		s.describe(fresh)
	}
	if s.section > section && s.section < len(s.scan.sections) {
		s.describeSection(s.ng.SectionInfo())
	}
	if err != nil {
		return nil, 0, time.Time{}, nil, s.cause(err)
	}
	iface := s.base + ci.InterfaceIndex
	sc, ifc := &s.scan.cur, s.scan.ifaces[iface]
	var at time.Time
	if !sc.noTime {
		at = ifc.res.time(sc.units, ifc.offset)
	}
	return data, iface, at, sc, nil
}

func (s *ngSource) interfaces() []*Interface  { return s.scan.ifaces[:s.done] }
func (s *ngSource) sections() []Section       { return s.scan.sections }
func (s *ngSource) otherBlocks() []BlockCount { return slices.Clone(s.scan.others) }

// pcapSource reads the classic format.
type pcapSource struct {
	scan   *pcapScanner
	r      *pcapgo.Reader
	ifaces []*Interface
}

func newPcapSource(in input) (*pcapSource, string, error) {
	s := &pcapSource{scan: &pcapScanner{input: in}}
	var err error
	if s.r, err = pcapgo.NewReader(s.scan); err != nil {
		return nil, "", s.cause(err)
	}
	s.ifaces = []*Interface{&s.scan.iface}
	return s, s.scan.format(), nil
}

func (s *pcapSource) cause(err error) error {
	if s.scan.err != nil {
		return s.scan.err
	}
	return s.scan.damaged("%v", err)
}

func (s *pcapSource) next() ([]byte, int, time.Time, *scanned, error) {
	data, at, err := s.scan.record()
	if err != nil {
		return nil, 0, time.Time{}, nil, err
	}
	return data, 0, at, &s.scan.cur, nil
}

func (s *pcapSource) interfaces() []*Interface  { return s.ifaces }
func (s *pcapSource) sections() []Section       { return nil }
func (s *pcapSource) otherBlocks() []BlockCount { return nil }
