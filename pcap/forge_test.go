package pcap_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"slices"
	"strings"
)

// ng builds pcapng block by block, in either byte order, right or wrong.
type ng struct {
	binary.AppendByteOrder
	bytes.Buffer
}

func newNg(order binary.AppendByteOrder) *ng { return &ng{AppendByteOrder: order} }

// block writes a block with body, and its true length unless another is given.
func (n *ng) block(kind uint32, body []byte, length ...uint32) *ng {
	head, tail := uint32(12+len(body)), uint32(12+len(body))
	if len(length) > 0 {
		head, tail = length[0], length[0]
	}
	if len(length) > 1 {
		tail = length[1]
	}
	n.Write(n.AppendUint32(n.AppendUint32(nil, kind), head))
	n.Write(body)
	n.Write(n.AppendUint32(nil, tail))
	return n
}

// words is a sequence of 32-bit words and raw bytes.
func (n *ng) words(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = n.AppendUint32(b, uint32(p))
		case uint64:
			b = n.AppendUint64(b, p)
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func (n *ng) option(code int, value []byte) []byte {
	b := n.AppendUint16(n.AppendUint16(nil, uint16(code)), uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func (n *ng) section(options ...[]byte) *ng {
	return n.block(0x0a0d0d0a, n.words(0x1a2b3c4d, n.AppendUint16(n.AppendUint16(nil, 1), 0), ^uint64(0), slices.Concat(options...)))
}

func (n *ng) iface(link int, options ...[]byte) *ng {
	return n.block(1, n.words(n.AppendUint16(nil, uint16(link)), "\x00\x00", 0, slices.Concat(options...)))
}

// packet writes an enhanced packet block at units on interface id.
func (n *ng) packet(id int, units uint64, data string, options ...[]byte) *ng {
	return n.block(6, n.words(id, int(units>>32), int(units&(1<<32-1)), len(data), len(data), data, make([]byte, -len(data)&3), slices.Concat(options...)))
}

var orders = map[string]binary.AppendByteOrder{"little-endian": binary.LittleEndian, "big-endian": binary.BigEndian}

// classic builds a classic pcap file of two packets.
func classic(order binary.AppendByteOrder, magic uint32, network uint32) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = order.AppendUint32(order.AppendUint32(b, 0), 0)
	b = order.AppendUint32(order.AppendUint32(b, 96), network)
	for i, data := range []string{"first", strings.Repeat("x", 200)} {
		b = order.AppendUint32(order.AppendUint32(b, uint32(1000+i)), 123456)
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(data))), uint32(len(data)+i))
		b = append(b, data...)
	}
	return b
}

func zipped(t tb, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := w.Write(b)
	ok(t, err)
	ok(t, w.Close())
	return z.Bytes()
}
