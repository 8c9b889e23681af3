package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const (
	fedSize = 512 // bytes of a fed frame, with its Ethernet header
	fedGap  = 100 * time.Microsecond

	numberAt = 42 // where a fed frame has its number, from 0, 64 bits, big-endian
)

// capture is a file of UDP frames from one machine to another, as long and as far
// apart as the constants say, in classic pcap with nanoseconds, which all who are
// measured read. The first frame goes the other way, so that a switch knows where the
// receiver is. It is made when it is first asked for.
type capture struct {
	frames int
	dir    string
	once   sync.Once
	err    error
}

func (c *capture) path() string { return filepath.Join(c.dir, fmt.Sprintf("fed-%d.pcap", c.frames)) }

// make makes the file.
func (c *capture) make() error {
	c.once.Do(func() { c.err = c.write() })
	return c.err
}

func (c *capture) write() (err error) {
	there, err := fedFrame(1, 2)
	if err != nil {
		return err
	}
	back, err := fedFrame(2, 1)
	if err != nil {
		return err
	}
	file, err := os.Create(c.path())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buf := bufio.NewWriterSize(file, 1<<20)
	w := pcapgo.NewWriterNanos(buf)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeEthernet); err != nil {
		return err
	}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range c.frames {
		frame := there
		if i == 0 {
			frame = back
		}
		binary.BigEndian.PutUint64(frame[numberAt:], uint64(i))
		info := gopacket.CaptureInfo{Timestamp: began.Add(time.Duration(i) * fedGap), CaptureLength: len(frame), Length: len(frame)}
		if err := w.WritePacket(info, frame); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// fedFrame is a frame of the capture from one machine to another. Its UDP checksum
// is 0, which says that there is none (RFC 768).
func fedFrame(from, to byte) ([]byte, error) {
	mac := func(machine byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, machine} }
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: mac(from), DstMAC: mac(to), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IPv4(10, 0, 0, from), DstIP: net.IPv4(10, 0, 0, to)},
		gopacket.Payload(udpHeader(fedSize-numberAt)), gopacket.Payload(make([]byte, fedSize-numberAt)))
	return b.Bytes(), err
}

// udpHeader is a UDP header without a checksum.
func udpHeader(payload int) []byte {
	b := binary.BigEndian.AppendUint16(nil, 5001)
	b = binary.BigEndian.AppendUint16(b, 5002)
	return append(binary.BigEndian.AppendUint16(b, uint16(8+payload)), 0, 0)
}
