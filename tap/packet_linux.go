package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// packetDevice is a second party on an interface: two packet(7) sockets, because the head
// that the kernel puts before what is received would cost time where frames are sent.
type packetDevice struct {
	books
	spec   string
	link   iface
	ask    asker
	in     *os.File
	out    *os.File
	tx     *messages
	closed atomic.Bool

	wmu sync.Mutex // held by Write

	rmu     sync.Mutex // held by Read
	rx      *messages
	waiting []received // what came behind a super-frame and did not fit
	cut     cutter     // of waiting[0], if that is a super-frame
	cutting bool
	store   [][]byte // buffers for waiting

	shut    sync.Mutex // held by Close, and while the kernel is asked
	dropped uint64     // under shut: by the kernel, when it was last asked
}

// received is one message as it came.
type received struct {
	vnet  vnetHeader
	frame []byte
	tag   [tagLen]byte
	tagOk bool
}

func (r *received) tagBytes() []byte {
	if r.tagOk {
		return r.tag[:]
	}
	return nil
}

// packetReceiveBuffer is what the receiving socket asks for, in bytes.
const packetReceiveBuffer = 8 << 20

// openPacket opens an interface that is there.
func openPacket(spec, name string) (Device, error) {
	p := &packetDevice{spec: spec}
	if err := p.open(name); err != nil {
		p.Close()
		switch {
		case isDenied(err):
			return nil, &PrivilegeError{spec, "sudo setcap cap_net_raw,cap_net_admin=ep " + executable(), err}
		case errors.Is(err, errNoInterface):
			return nil, fmt.Errorf("%s: %w; ip link shows those that there are", spec, err)
		}
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return p, nil
}

func executable() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return os.Args[0]
}

func (p *packetDevice) open(name string) (err error) {
	if p.ask, err = newAsker(); err != nil {
		p.ask.fd = -1
		return err
	}
	if p.link, err = p.ask.byName(name); err != nil {
		return err
	}
	var raw syscall.RawConn
	if p.in, raw, err = p.socket(unix.ETH_P_ALL, unix.SOCK_NONBLOCK, func(fd int) error { return receiveOptions(fd, p.link.index) }); err != nil {
		return err
	}
	p.rx = newMessages(raw, vnetHeaderLen)
	p.rx.receives(false, true)
	// Of no protocol: it receives nothing.
	if p.out, raw, err = p.socket(0, 0, func(int) error { return nil }); err != nil {
		return err
	}
	p.tx = newMessages(raw, 0)
	p.tx.sendsAlone(&p.closed)
	return nil
}

// socket makes a packet socket. It is of no protocol, so that nothing comes, until its
// options are set and it is bound.
func (p *packetDevice) socket(protocol uint16, flags int, options func(fd int) error) (*os.File, syscall.RawConn, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), p.spec)
	err = options(fd)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ntohs(protocol), Ifindex: p.link.index}))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	raw, err := f.SyscallConn()
	return f, raw, err
}

// receiveOptions prepares a socket for taking what comes in at an interface.
func receiveOptions(fd, index int) error {
	for _, o := range []struct {
		option int
		name   string
	}{
		{unix.PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING"}, // Linux 4.20
		{unix.PACKET_AUXDATA, "PACKET_AUXDATA"},                 // the VLAN tag that was taken out
		{unix.PACKET_VNET_HDR, "PACKET_VNET_HDR"},               // what was left to hardware
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.option, 1); err != nil {
			return os.NewSyscallError(o.name, err)
		}
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetReceiveBuffer) != nil {
		// As much as everybody may have; what does not fit is counted.
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packetReceiveBuffer)
	}
	mreq := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	return os.NewSyscallError("PACKET_ADD_MEMBERSHIP", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq))
}

// Read implements [Device].
func (p *packetDevice) Read(bufs [][]byte, sizes []int) (int, error) {
	if _, err := checkBuffers(bufs, sizes); err != nil {
		return 0, err
	}
	p.rmu.Lock()
	defer p.rmu.Unlock()
	for {
		if p.closed.Load() {
			return 0, closedErr(p.spec)
		}
		if n := p.drain(bufs, sizes); n > 0 {
			return n, nil
		}
		came, err := p.rx.recv(bufs)
		switch {
		case p.closed.Load():
			return 0, closedErr(p.spec)
		case errors.Is(err, unix.ENETDOWN): // said once, when the interface goes down or away
			if err := p.exists(); err != nil {
				return 0, err
			}
			continue
		case err != nil:
			return 0, fmt.Errorf("%s: %w", p.spec, os.NewSyscallError("recvmmsg", err))
		}
		if n := p.take(bufs, sizes, came); n > 0 {
			return n, nil
		}
	}
}

// exists says why there is nothing more to expect, if so.
func (p *packetDevice) exists() error {
	p.shut.Lock()
	defer p.shut.Unlock()
	if p.closed.Load() {
		return closedErr(p.spec)
	}
	if _, err := p.ask.byIndex(p.link.index); errors.Is(err, errNoInterface) {
		return fmt.Errorf("%s: interface %s was removed: %w", p.spec, p.link.name, unix.ENETDOWN)
	}
	return nil
}

// take makes frames of the messages that came, in bufs. From the first super-frame on
// they are put aside, because more frames may come of them than there are buffers.
func (p *packetDevice) take(bufs [][]byte, sizes []int, came int) (n int) {
	for i := range came {
		r, ok := p.received(i, bufs[i])
		if !ok {
			continue
		}
		if r.vnet.super() || len(p.waiting) > 0 {
			r.frame = append(p.buffer(), r.frame...)
			p.waiting = append(p.waiting, r)
			continue
		}
		sizes[n] = insertTag(bufs[i], len(r.frame), r.tagBytes())
		if n != i {
			copy(bufs[n], bufs[i][:sizes[n]])
		}
		n++
	}
	return n + p.drain(bufs[n:], sizes[n:])
}

// received looks at message i, which came into buf. It completes the checksum, and counts
// what is no frame.
func (p *packetDevice) received(i int, buf []byte) (r received, ok bool) {
	n, cut := p.rx.length(i)
	r.tag, r.tagOk = tagOf(&p.rx.msgs[i])
	switch {
	case cut || n > MaxFrame || r.tagOk && n > MaxFrame-tagLen:
		p.rxOversize.Add(1)
		return r, false
	case n < MinFrame:
		p.rxMalformed.Add(1)
		return r, false
	}
	r.frame = buf[:n]
	r.vnet = parseVnetHeader(p.rx.headOf(i))
	if !r.vnet.super() && !r.vnet.complete(r.frame) {
		p.rxOffload.Add(1)
		return r, false
	}
	return r, true
}

// auxdataLen is the length of struct tpacket_auxdata: three numbers of four bytes, four
// of two, the last two of which are the tag's.
const auxdataLen = 20

// tagOf returns the VLAN tag that the kernel took out of a frame, from the control message
// of PACKET_AUXDATA.
func tagOf(msg *mmsghdr) (tag [tagLen]byte, ok bool) {
	control := controlOf(msg)
	for len(control) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return tag, false
		}
		control = rest
		if h.Level != unix.SOL_PACKET || h.Type != unix.PACKET_AUXDATA || len(data) < auxdataLen {
			continue
		}
		if status := binary.NativeEndian.Uint32(data); status&unix.TP_STATUS_VLAN_VALID == 0 {
			return tag, false
		}
		tci, tpid := binary.NativeEndian.Uint16(data[16:]), binary.NativeEndian.Uint16(data[18:])
		if tpid == 0 { // a kernel that does not tell
			tpid = 0x8100
		}
		binary.BigEndian.PutUint16(tag[0:], tpid)
		binary.BigEndian.PutUint16(tag[2:], tci)
		return tag, true
	}
	return tag, false
}

// buffer is one for a frame that has to wait, empty.
func (p *packetDevice) buffer() []byte {
	if n := len(p.store); n > 0 {
		b := p.store[n-1]
		p.store = p.store[:n-1]
		return b
	}
	return make([]byte, 0, MaxFrame)
}

// drain makes frames of what was put aside.
func (p *packetDevice) drain(bufs [][]byte, sizes []int) (n int) {
	for n < len(bufs) && len(p.waiting) > 0 {
		r := &p.waiting[0]
		switch {
		case p.cutting && p.cut.more():
			sizes[n] = p.cut.next(bufs[n])
			n++
			continue
		case p.cutting:
			p.cutting = false
		case r.vnet.super():
			if p.cut, p.cutting = newCutter(r.vnet, r.frame, r.tagBytes()); p.cutting {
				continue
			}
			p.rxOffload.Add(1)
		default:
			sizes[n] = insertTag(bufs[n], copy(bufs[n], r.frame), r.tagBytes())
			n++
		}
		p.store = append(p.store, r.frame[:0])
		p.waiting = p.waiting[1:]
	}
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
	return n
}

// Write implements [Device].
func (p *packetDevice) Write(frames [][]byte) (n int, err error) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	for n < len(frames) {
		if p.closed.Load() {
			return n, closedErr(p.spec)
		}
		run := fitting(frames[n:], p.link.mtu)
		if run == 0 {
			p.txInvalid.Add(1)
			n++
			continue
		}
		sent, err := p.tx.send(frames[n:n+run], nil)
		n += sent
		if err == nil {
			continue
		}
		if p.closed.Load() {
			return n, closedErr(p.spec)
		}
		switch trouble := sendTrouble(err); {
		case errors.Is(err, unix.ENXIO): // bound to an interface that is no more
			return n, fmt.Errorf("%s: interface %s was removed: %w", p.spec, p.link.name, err)
		case errors.Is(err, unix.EINVAL):
			p.txInvalid.Add(1)
		case trouble == fatal:
			return n, fmt.Errorf("%s: %w", p.spec, os.NewSyscallError("sendmmsg", err))
		default:
			p.countTrouble(trouble)
		}
		n++
	}
	if p.closed.Load() {
		return 0, closedErr(p.spec)
	}
	return n, nil
}

// MTU implements [Device].
func (p *packetDevice) MTU() int { return p.link.mtu }

// Name implements [Device].
func (p *packetDevice) Name() string { return p.link.name }

// Counters implements [Counting].
func (p *packetDevice) Counters() Counters {
	p.shut.Lock()
	defer p.shut.Unlock()
	p.askDropped()
	c := p.books.Counters()
	c.RxDropped = p.dropped
	return c
}

// askDropped adds what the kernel dropped since it was asked last. It is called under shut.
func (p *packetDevice) askDropped() {
	if p.closed.Load() || p.rx == nil {
		return
	}
	p.rx.raw.Control(func(fd uintptr) {
		if st, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			p.dropped += uint64(st.Drops)
		}
	})
}

// Close implements [Device].
func (p *packetDevice) Close() error {
	p.shut.Lock()
	defer p.shut.Unlock()
	if p.closed.Load() {
		return nil
	}
	p.askDropped()
	p.closed.Store(true)
	if p.ask.fd >= 0 {
		p.ask.close()
	}
	var errs []error
	for _, f := range []*os.File{p.in, p.out} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
