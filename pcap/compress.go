package pcap

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxInflated bounds how many bytes a compressed input may expand to: a
	// capture of that size is read from a plain file instead.
	maxInflated = 64 << 30

	// maxWindow bounds the memory that a zstd file may ask its reader for, which
	// is its window. zstd -1 to -20 need no more; --ultra -22 and --long ask for 128 MiB.
	maxWindow = 32 << 20
)

// packing is how an input is compressed: "", "gzip" or "zstd".
type packing string

const (
	plain      packing = ""
	packedGzip packing = "gzip"
	packedZstd packing = "zstd"
)

// packingOf tells by the first bytes. A zstd file may begin with a skippable
// frame, as pzstd's do.
func packingOf(head []byte) packing {
	switch {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		return packedGzip
	case len(head) >= 4 && string(head[:4]) == "\x28\xb5\x2f\xfd",
		len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		return packedZstd
	}
	return plain
}

// unpack returns what br holds, decompressed as it is read: several gzip members
// or zstd frames one after the other, as cat and pzstd write them.
func unpack(br *bufio.Reader, p packing) (*bufio.Reader, error) {
	in := &inflated{pack: p, most: maxInflated}
	switch p {
	case packedGzip:
		z, err := gzip.NewReader(br)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // within the header
		}
		if err != nil {
			return nil, err
		}
		z.Multistream(false)
		in.r = &members{z: z, br: br}
	case packedZstd:
		// One decoder works in the caller's goroutine: none is left behind when a
		// capture is not read to its end.
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		in.r = z
	}
	return bufio.NewReaderSize(in, readBuffer), nil
}

// members are the members of a gzip file, one after the other. compress/gzip can
// do that too, but takes a few bytes behind them for a member that was cut. Zeros
// behind them are padding, as tape and disk images leave it.
type members struct {
	z  *gzip.Reader
	br *bufio.Reader
}

func (m *members) Read(p []byte) (int, error) {
	n, err := m.z.Read(p)
	if err != io.EOF {
		return n, err
	}
	switch head, err := m.br.Peek(2); {
	case len(head) == 0 && err != io.EOF:
		return n, err
	case len(head) == 0, head[0] == 0:
		return n, io.EOF
	case len(head) == 1 && head[0] == 0x1f:
		return n, io.ErrUnexpectedEOF
	case packingOf(head) != packedGzip:
		return n, packError("gzip: what follows the compressed data is not gzip")
	}
	if err = m.z.Reset(m.br); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	m.z.Multistream(false)
	return n, err
}

// inflated is a decompressed stream with a bound. The end of a cut stream is
// io.ErrUnexpectedEOF, which input takes for the end within a block; what cannot
// be decompressed is a packError.
type inflated struct {
	r       io.Reader
	pack    packing
	n, most int64
}

// packError is damage of compressed data, or a bound that they exceed.
type packError string

func (e packError) Error() string { return string(e) }

func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	i.n += int64(n)
	switch {
	case i.n > i.most:
		return 0, packError(fmt.Sprintf("expands to more than %d bytes; if that is true, decompress it into a file first", i.most))
	case err == nil, err == io.EOF, err == io.ErrUnexpectedEOF:
	case errors.As(err, new(packError)):
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = packError(fmt.Sprintf("zstd: decompressing it takes more than %d MiB of memory; if it is yours: zstd -dc --long=31 FILE | vnreplay show -", maxWindow>>20))
	case i.pack == packedGzip:
		err = packError(err.Error()) // says gzip, or flate
	default:
		err = packError("zstd: " + err.Error())
	}
	return n, err
}
