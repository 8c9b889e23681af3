// Package interop gives captures to programs written against
// github.com/google/gopacket, the older of the two gopacket modules: a [Source]
// is one of its packet data sources.
//
// vnreplay itself uses github.com/gopacket/gopacket, whose types are different
// ones. This package is the only one that imports the older module, and nothing
// else here imports this package. The older module's layers may panic on or
// misread hostile packets; use it on captures you trust.
package interop

import (
	"fmt"
	"io"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vnreplay/vnreplay/pcap"
)

// Source hands out the packets of a capture, field for field: Timestamp,
// CaptureLength, Length and InterfaceIndex. AncillaryData[0] is the layers.LinkType,
// as pcapgo's readers have it, and AncillaryData[1] the *[pcap.Packet] with
// comments, direction and packet id.
type Source struct {
	r     *pcap.Reader
	link  layers.LinkType
	first *pcap.Packet // read ahead to know the link type
	err   error
}

var _ gopacket.PacketDataSource = (*Source)(nil)

// NewSource returns the packets of r from where it stands. The error is that of
// reading the first one (but an empty capture is no error), or says that its
// link type has no number in google/gopacket, which knows 0 to 255.
func NewSource(r *pcap.Reader) (*Source, error) {
	s := &Source{r: r, link: layers.LinkTypeEthernet}
	p, err := r.Next()
	switch {
	case err == io.EOF:
		s.err = io.EOF
		return s, nil
	case err != nil:
		return nil, err
	case p.LinkType > 255:
		return nil, fmt.Errorf("%s: link type %d has no number in google/gopacket", r.Name(), p.LinkType)
	}
	s.first, s.link = p, layers.LinkType(p.LinkType)
	return s, nil
}

// LinkType returns the link type of all packets: the decoder for
// gopacket.NewPacketSource.
func (s *Source) LinkType() layers.LinkType { return s.link }

// ReadPacketData returns the next packet; the data is the caller's. A capture
// that is cut or damaged, or goes on with another link type, gives its error
// once and then io.EOF, for gopacket's PacketSource retries after all errors it
// does not know; [Source.Err] keeps it.
func (s *Source) ReadPacketData() ([]byte, gopacket.CaptureInfo, error) {
	if s.err != nil {
		return nil, gopacket.CaptureInfo{}, io.EOF
	}
	p := s.first
	s.first = nil
	if p == nil {
		if p, s.err = s.r.Next(); s.err != nil {
			return nil, gopacket.CaptureInfo{}, s.err
		}
	}
	if p.LinkType != int(s.link) {
		s.err = fmt.Errorf("%s: frame %d has link type %d, those before have %d", s.r.Name(), p.Number, p.LinkType, s.link)
		return nil, gopacket.CaptureInfo{}, s.err
	}
	return p.Data, gopacket.CaptureInfo{
		Timestamp:      p.Time,
		CaptureLength:  len(p.Data),
		Length:         p.OrigLen,
		InterfaceIndex: p.Interface,
		AncillaryData:  []any{s.link, p},
	}, nil
}

// Err returns the error that ended the packets, nil if it was their end.
func (s *Source) Err() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}
