package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// What goes through framer and deframer comes out as it went in, however the stream is
// cut up on its way.
func TestFramingKeepsFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream bytes.Buffer
		var count books
		out := framer{w: &stream}
		var want [][]byte
		for range rapid.IntRange(1, 4).Draw(t, "writes") {
			frames := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), MinFrame, 200), 0, 40).Draw(t, "frames")
			if n, err := out.write(frames, DefaultMTU, &count); n != len(frames) || err != nil {
				t.Fatalf("wrote %d: %v", n, err)
			}
			want = append(want, frames...)
		}
		readers := map[string]io.Reader{"whole": &stream, "halves": iotest.HalfReader(&stream), "bytes": iotest.OneByteReader(&stream)}
		in := newDeframer(readers[rapid.SampledFrom([]string{"whole", "halves", "bytes"}).Draw(t, "reader")])
		bufs, sizes := someBuffers(rapid.IntRange(1, 20).Draw(t, "buffers"))
		var got [][]byte
		for {
			n, err := in.frames(bufs, sizes, &count)
			for i := range n {
				got = append(got, bytes.Clone(bufs[i][:sizes[i]]))
			}
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d frames of %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("frame %d differs", i)
			}
		}
		if c := count.Counters(); c != (Counters{}) {
			t.Fatalf("counted %+v", c)
		}
	})
}

func someBuffers(n int) ([][]byte, []int) {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, MaxFrame)
	}
	return bufs, make([]int, n)
}

func FuzzDeframer(f *testing.F) {
	frame := append([]byte{0, 0, 0, 14}, make([]byte, 14)...)
	f.Add(frame)
	f.Add(append(frame, 0, 0, 0, 0))
	f.Add(append(frame, 0xff, 0xff, 0xff, 0xff))
	f.Add(append(frame, 0, 1, 0, 17))
	f.Add([]byte{0, 0, 0, 3, 1, 2, 3, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		// Taken apart a byte at a time and all at once, it is the same.
		var got [2][][]byte
		var last [2]error
		for i, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			var count books
			in := newDeframer(r)
			bufs, sizes := someBuffers(2)
			for last[i] == nil {
				var n int
				n, last[i] = in.frames(bufs, sizes, &count)
				if n == 0 && last[i] == nil {
					t.Fatal("no frame and no error")
				}
				for k := range n {
					got[i] = append(got[i], bytes.Clone(bufs[k][:sizes[k]]))
				}
			}
		}
		if last[0].Error() != last[1].Error() || len(got[0]) != len(got[1]) {
			t.Fatalf("%d frames and %v, or %d and %v", len(got[0]), last[0], len(got[1]), last[1])
		}
		total := 0
		for i, frame := range got[0] {
			if total += lengthLen + len(frame); len(frame) < MinFrame || !bytes.Equal(frame, got[1][i]) {
				t.Fatalf("frame %d of %d bytes", i, len(frame))
			}
		}
		var bad framingError
		if total > len(stream) || !errors.As(last[0], &bad) && last[0] != io.EOF && last[0] != io.ErrUnexpectedEOF {
			t.Fatalf("%d bytes of frames out of %d, %v", total, len(stream), last[0])
		}
	})
}

func FuzzVXLANHeader(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 0, 0, 42, 0})
	f.Add([]byte{0xff, 1, 2, 3, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 42, 0})
	f.Add([]byte{8, 0, 0})
	f.Fuzz(func(t *testing.T, head []byte) {
		vni, ok := parseVXLANHeader(head)
		if !ok {
			return
		}
		if vni >= 1<<24 {
			t.Fatalf("network %d", vni)
		}
		// What of the head has a meaning is what we would send.
		own := vxlanHeader(vni)
		if head[0]&vxlanFlagI != own[0] || !bytes.Equal(head[4:7], own[4:7]) {
			t.Fatalf("% x is network %d, and that is % x", head, vni, own)
		}
	})
}

// superFrame makes a TCP super-frame as a kernel gives it: without a checksum but that of
// the pseudo header.
func superFrame(payload []byte, options int) ([]byte, vnetHeader) {
	frame := make([]byte, 14+20+20+options, 14+20+20+options+len(payload))
	frame[12], frame[13] = 0x08, 0x00
	ip := frame[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, protoTCP
	binary.BigEndian.PutUint16(ip[4:], 0xfffe)
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	tcp := ip[20:]
	binary.BigEndian.PutUint32(tcp[4:], 0xffffff00)
	tcp[12], tcp[13] = byte(20+options)/4<<4, 0x10|tcpPSH|tcpFIN|tcpCWR
	frame = append(frame, payload...)
	binary.BigEndian.PutUint16(frame[16:], uint16(len(frame)-14))
	return frame, vnetHeader{flags: vnetNeedsChecksum, kind: vnetTCP4 | vnetECN, checksumStart: 34, checksumOffset: 16}
}

// Cut up, a super-frame is a sequence of frames that each hold by themselves.
func TestCutterCutsAsHardwareDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "payload")
		frame, h := superFrame(payload, 4*rapid.IntRange(0, 10).Draw(t, "options"))
		h.segment = rapid.IntRange(1, 1500).Draw(t, "segment")
		var tag []byte
		if rapid.Bool().Draw(t, "tagged") {
			tag = []byte{0x81, 0x00, 0x60, 0x05}
		}
		c, ok := newCutter(h, frame, tag)
		if !ok {
			t.Fatal("not understood")
		}
		buf := make([]byte, MaxFrame)
		var got []byte
		for i := 0; c.more(); i++ {
			out := buf[:c.next(buf)]
			if !bytes.Equal(out[12:12+len(tag)], tag) {
				t.Fatalf("frame %d: no tag: % x", i, out[:20])
			}
			ip := out[14+len(tag):]
			if n := int(binary.BigEndian.Uint16(ip[2:])); n != len(ip) || fold(sum(0, ip[:20])) != 0xffff {
				t.Fatalf("frame %d: IP length %d of %d, or its checksum is wrong", i, n, len(ip))
			}
			if id := binary.BigEndian.Uint16(ip[4:]); id != uint16(0xfffe+i) {
				t.Fatalf("frame %d: IP id %#x", i, id)
			}
			tcp := ip[20:]
			if fold(sum(sum(protoTCP+uint64(len(tcp)), ip[12:20]), tcp)) != 0xffff {
				t.Fatalf("frame %d: wrong TCP checksum", i)
			}
			if seq := binary.BigEndian.Uint32(tcp[4:]); seq != 0xffffff00+uint32(len(got)) {
				t.Fatalf("frame %d: sequence number %#x", i, seq)
			}
			want := byte(0x10)
			if i == 0 {
				want |= tcpCWR
			}
			if !c.more() {
				want |= tcpPSH | tcpFIN
			}
			if tcp[13] != want {
				t.Fatalf("frame %d: flags %#x, want %#x", i, tcp[13], want)
			}
			data := tcp[int(tcp[12]>>4)*4:]
			if len(data) > h.segment || c.more() && len(data) != h.segment {
				t.Fatalf("frame %d: %d bytes", i, len(data))
			}
			got = append(got, data...)
		}
		if !bytes.Equal(got, payload) {
			t.Fatal("the payload is another one")
		}
	})
}

// Whatever a kernel says about whatever frame, nothing panics, and no frame is longer than
// it may be.
func FuzzOffload(f *testing.F) {
	frame, h := superFrame(make([]byte, 3000), 12)
	head := make([]byte, vnetHeaderLen)
	head[0], head[1] = h.flags, h.kind
	binary.NativeEndian.PutUint16(head[4:], 1448)
	binary.NativeEndian.PutUint16(head[6:], 34)
	binary.NativeEndian.PutUint16(head[8:], 16)
	f.Add(append(bytes.Clone(head), frame...), true)
	head[1] = vnetTCP6
	f.Add(append(bytes.Clone(head), frame...), false)
	head[1] = vnetNone
	f.Add(append(bytes.Clone(head), frame[:60]...), false)
	head[1] = vnetUDP
	six := append(bytes.Clone(frame[:12]), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 100, 0, 64)
	f.Add(append(bytes.Clone(head), append(six, make([]byte, 140)...)...), true)
	f.Fuzz(func(t *testing.T, data []byte, tagged bool) {
		if len(data) < vnetHeaderLen+MinFrame || len(data) > vnetHeaderLen+MaxFrame-tagLen {
			return
		}
		h, frame := parseVnetHeader(data), bytes.Clone(data[vnetHeaderLen:])
		var tag []byte
		if tagged {
			tag = []byte{0x88, 0xa8, 0, 1}
		}
		if !h.super() {
			h.complete(frame)
			return
		}
		c, ok := newCutter(h, frame, tag)
		if !ok {
			return
		}
		buf := make([]byte, MaxFrame)
		for left := len(frame); c.more(); left-- {
			if n := c.next(buf); n > len(frame)+len(tag) || n < MinFrame {
				t.Fatalf("a frame of %d bytes out of one of %d", n, len(frame))
			}
			if left == 0 {
				t.Fatal("it does not end")
			}
		}
	})
}
