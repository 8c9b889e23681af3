package pcap

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// Of the frame check sequence. A file may say that Ethernet frames end with it: in
// the link-type word of a classic file, in if_fcslen of a pcapng interface, or in
// the flags of one packet, which win. As in Wireshark, these bytes are in
// [Packet.Data] and count in its lengths, and are not part of the frame that is
// decoded; of other link types nobody strips them.

// fcsOption is the value of if_fcslen in bytes. The format says it is in bits, its
// example and Wireshark say bytes; no frame has a check sequence of 8 bytes or more.
func fcsOption(v byte) int {
	if v >= 8 {
		return int(v) / 8
	}
	return int(v)
}

// fcsLen is how long the frame check sequence of a packet is on the wire.
func fcsLen(iface *Interface, flags uint32) int {
	if iface.LinkType != LinkEthernet {
		return 0
	}
	if n := flags >> 5 & 15; n > 0 {
		return int(n)
	}
	return iface.FCSLen
}

// Frame returns the frame without its frame check sequence, as far as it was
// captured, and its length on the wire without that. Where the headers say that the
// last bytes are payload, there is none, whatever the file says: Wireshark too takes
// it from what follows the payload only.
func (p *Packet) Frame() (data []byte, length int) {
	if p.FCSLen == 0 || p.FCSLen > p.OrigLen {
		return p.Data, p.OrigLen
	}
	length = p.OrigLen - p.FCSLen
	n := min(length, len(p.Data))
	data = p.Data[:n:n]
	if n < len(p.Data) && Decode(data).Missing > 0 && Decode(p.Data).Missing == 0 {
		return p.Data, p.OrigLen
	}
	return data, length
}

// FCS checks the frame check sequence of an Ethernet frame (IEEE 802.3, 3.2.9). It
// is SumAbsent if there is none, or not all of frame and sequence was captured.
func (p *Packet) FCS() Sum {
	data, length := p.Frame()
	if p.FCSLen != 4 || len(data) < length || len(p.Data) != length+4 {
		return SumAbsent
	}
	if binary.LittleEndian.Uint32(p.Data[length:]) == crc32.ChecksumIEEE(data) {
		return SumGood
	}
	return SumBad
}

// linkErrors are the link-layer errors in the upper half of the flags word, from
// bit 24 on.
var linkErrors = [...]string{"CRC error", "too long", "too short", "wrong inter-frame gap", "unaligned", "start frame delimiter error", "preamble error", "symbol error"}

// LinkErrors says with which errors the interface received the packet, "" for none.
func (p *Packet) LinkErrors() string {
	if p.Flags>>24 == 0 {
		return ""
	}
	var all []string
	for i, what := range linkErrors {
		if p.Flags>>(24+i)&1 != 0 {
			all = append(all, what)
		}
	}
	return strings.Join(all, ", ")
}

// linkNote is what a line about the packet says of its check sequence and errors.
func (p *Packet) linkNote() string {
	note := ""
	if p.FCS() == SumBad {
		note = " [wrong FCS]"
	}
	if e := p.LinkErrors(); e != "" {
		note += " [received with " + e + "]"
	}
	return note
}

// Describe describes the packet's frame, without its frame check sequence, as
// [Describer.Frame] does, and says what its interface found wrong with it.
func (s *Describer) Describe(p *Packet) string {
	data, length := p.Frame()
	return s.Frame(p.LinkType, data, length) + p.linkNote()
}
