package tap

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

const (
	// MinFrame is the shortest frame in bytes: an Ethernet header.
	MinFrame = vswitch.HeaderLen

	// tagLen is the length in bytes of one 802.1Q or 802.1ad tag.
	tagLen = 4

	// MaxFrame is the longest frame in bytes: the largest payload, an Ethernet
	// header and one tag. Every buffer given to [Device.Read] has room for it.
	MaxFrame = vswitch.MaxMTU + vswitch.HeaderLen + tagLen

	// DefaultMTU is the MTU of a device whose other end does not tell it.
	DefaultMTU = vswitch.DefaultMTU
)

// Device is a link to something outside of the process that speaks Ethernet.
//
// A frame is whole: from the destination address to the last byte of payload,
// with a VLAN tag if it has one, without preamble and FCS, neither padded nor
// with a checksum left for hardware to fill in.
//
// Read and Write may be called at the same time. Two calls of Read, or two of
// Write, take turns.
type Device interface {
	// Read blocks until there is a frame, then takes as many as are there and fit.
	// It puts frame i into bufs[i], sizes[i] bytes long, for i < n; n is at least 1
	// unless there is an error. Each of bufs must be MaxFrame bytes or longer, and
	// sizes as long as bufs; what bufs hold beyond that is undefined afterwards. The
	// device keeps none of them.
	//
	// What arrives and is not a frame is counted and left out ([Counting]); it is no
	// error, and neither is a peer that went away and may come back. After Close the
	// error is net.ErrClosed. Any other one is final: the interface was removed, or a
	// peer that cannot come back hung up (io.EOF).
	Read(bufs [][]byte, sizes []int) (n int, err error)

	// Write sends frames in order. It blocks while the device cannot take them, and
	// waits then, without spinning. It neither changes nor keeps frames.
	//
	// The first n were dealt with; n is len(frames) unless there is an error. Dealt
	// with means sent, or counted as one that cannot be sent ([Counting]): a frame
	// shorter than MinFrame or longer than MTU()+14 bytes (18 if it has a tag); any
	// frame while the link is down; one that the system refused for want of memory.
	// Errors are those of Read.
	Write(frames [][]byte) (n int, err error)

	// MTU is the largest payload after the 14-byte Ethernet header, in bytes; a tag
	// does not count. It stays what it was when the device was opened.
	MTU() int

	// Name is what to call the device in messages and recordings, such as vnr0.
	Name() string

	// Close lets go of the device and ends the calls of Read and Write that wait.
	// Closing again does nothing and returns nil.
	Close() error
}

// Counting is a [Device] that counts what was lost. All devices of this package do.
type Counting interface {
	// Counters may be called at any time, also after Close.
	Counters() Counters
}

// Addressed is a [Device] that knows the address of the one interface behind it,
// which a TAP device does.
type Addressed interface {
	MAC() vswitch.MAC
}

// Counters are a device's books of what did not get through. Each frame is
// counted at most once. Rx is towards the process.
type Counters struct {
	RxOversize  uint64 // longer than MaxFrame, or cut short by the system
	RxMalformed uint64 // no frame: shorter than 14 bytes, or in a wrapping that is wrong
	RxForeign   uint64 // of another VXLAN network, or not from the peer
	RxOffload   uint64 // super-frames of a kind that cannot be turned into frames of a wire
	RxDropped   uint64 // dropped by the kernel because they were not read in time

	TxInvalid uint64 // shorter than 14 bytes or longer than the MTU allows
	TxDown    uint64 // the link was down: no peer, or an interface that is not up
	TxDropped uint64 // refused by the system for want of memory or of room in a queue

	Connects    uint64 // peers that came
	Disconnects uint64 // peers that went
	Refused     uint64 // peers turned away because there was one
}

// books are Counters while they are kept.
type books struct {
	rxOversize, rxMalformed, rxForeign, rxOffload atomic.Uint64
	txInvalid, txDown, txDropped                  atomic.Uint64
	connects, disconnects, refused                atomic.Uint64
}

// Counters implements [Counting].
func (b *books) Counters() Counters {
	return Counters{
		RxOversize:  b.rxOversize.Load(),
		RxMalformed: b.rxMalformed.Load(),
		RxForeign:   b.rxForeign.Load(),
		RxOffload:   b.rxOffload.Load(),
		TxInvalid:   b.txInvalid.Load(),
		TxDown:      b.txDown.Load(),
		TxDropped:   b.txDropped.Load(),
		Connects:    b.connects.Load(),
		Disconnects: b.disconnects.Load(),
		Refused:     b.refused.Load(),
	}
}

// PrivilegeError is the error of [Open] when the process may not have the device.
type PrivilegeError struct {
	Spec    string // what was to be opened
	Command string // what grants it, for a shell
	Err     error  // the system's answer
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("%s: %v; what grants it: %s", e.Spec, e.Err, e.Command)
}

// Unwrap returns the system's answer.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// errNoBuffers: a Read that could never return a frame.
var errNoBuffers = errors.New("read into no buffers")

// checkBuffers holds the caller of Read to its contract: n frames can be taken.
func checkBuffers(bufs [][]byte, sizes []int) (n int, err error) {
	if len(bufs) == 0 {
		return 0, errNoBuffers
	}
	if len(sizes) < len(bufs) {
		return 0, fmt.Errorf("%d buffers and %d sizes", len(bufs), len(sizes))
	}
	for i, b := range bufs {
		if len(b) < MaxFrame {
			return 0, fmt.Errorf("buffer %d has %d bytes, a frame may have %d", i, len(b), MaxFrame)
		}
	}
	return len(bufs), nil
}

// fits reports whether frame may be sent on a link of this MTU.
func fits(frame []byte, mtu int) bool {
	switch n := len(frame); {
	case n < MinFrame:
		return false
	case n <= mtu+vswitch.HeaderLen:
		return true
	default:
		return n <= mtu+vswitch.HeaderLen+tagLen && isTag(frame[12:])
	}
}

// isTag reports whether b starts with the type of an 802.1Q or 802.1ad tag.
func isTag(b []byte) bool {
	return b[0] == 0x81 && b[1] == 0x00 || b[0] == 0x88 && b[1] == 0xa8
}

// closedErr is what a call gets that a Close ended.
func closedErr(name string) error { return fmt.Errorf("%s: %w", name, net.ErrClosed) }
