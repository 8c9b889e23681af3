package tap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// address is where a datagram comes from or goes to: an IP address and port, or the
// path of a unix socket. The zero address is that of a socket without a name.
type address struct {
	ip   netip.AddrPort
	path string
}

// unmap makes an IPv4 address of one that is written as IPv6.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// socketBuffer is what datagram sockets ask for, in each direction, in bytes. The
// system may give less.
const socketBuffer = 4 << 20

// datagram is a device with one frame in a datagram and one peer.
type datagram struct {
	books
	spec   string
	name   string
	mtu    int
	sock   *socket
	path   string // of the local socket, to be removed; or ""
	closed atomic.Bool
	shut   sync.Once

	rmu, wmu sync.Mutex // held by Read and by Write

	mu    sync.Mutex
	peer  address // the zero address if there is none
	fixed bool    // peer was given
}

// handshake is the datagram with which vfkit makes itself known.
const handshake = "VFKT"

// openDatagram binds a socket; remote may be empty. The network is unix or udp.
func openDatagram(spec, network, local, remote string, mtu int) (Device, error) {
	d := &datagram{spec: spec, name: portName("dgram", local), mtu: mtu}
	var err error
	if network == "unix" {
		err = d.bindUnix(local, remote)
	} else {
		err = d.bindUDP(local, remote)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return d, nil
}

func (d *datagram) bindUnix(local, remote string) error {
	if err := removeStale(local, "unixgram"); err != nil {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: local})
	if err != nil {
		return err
	}
	d.path = local
	d.peer, d.fixed = address{path: remote}, remote != ""
	return d.use(conn)
}

func (d *datagram) bindUDP(local, remote string) error {
	addr, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		return err
	}
	network := "udp4"
	if addr.IP != nil && addr.IP.To4() == nil {
		network = "udp6"
	}
	if remote != "" {
		peer, err := net.ResolveUDPAddr(network, remote)
		if err != nil {
			return err
		}
		d.peer, d.fixed = address{ip: unmap(peer.AddrPort())}, true
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		return err
	}
	return d.use(conn)
}

func (d *datagram) use(conn interface {
	net.PacketConn
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}) (err error) {
	// Less than what is asked for will do.
	conn.SetReadBuffer(socketBuffer)
	conn.SetWriteBuffer(socketBuffer)
	if d.sock, err = newSocket(conn, 0); err != nil {
		conn.Close()
	}
	return err
}

// Read implements [Device].
func (d *datagram) Read(bufs [][]byte, sizes []int) (int, error) {
	if _, err := checkBuffers(bufs, sizes); err != nil {
		return 0, err
	}
	d.rmu.Lock()
	defer d.rmu.Unlock()
	for {
		if d.closed.Load() {
			return 0, closedErr(d.spec)
		}
		came, err := d.sock.recv(bufs, sizes)
		switch {
		case d.closed.Load():
			return 0, closedErr(d.spec)
		case err != nil && sendTrouble(err) != fatal:
			continue // an answer to something that was sent
		case err != nil:
			return 0, fmt.Errorf("%s: %w", d.spec, err)
		}
		n := 0
		for i := range came {
			if !d.accept(bufs[i], sizes[i], d.sock.from[i]) {
				continue
			}
			if n != i {
				copy(bufs[n], bufs[i][:sizes[i]])
			}
			sizes[n] = sizes[i]
			n++
		}
		if n > 0 {
			return n, nil
		}
	}
}

// accept reports whether a datagram is a frame from the peer.
func (d *datagram) accept(buf []byte, n int, from address) bool {
	hello := n == len(handshake) && string(buf[:n]) == handshake
	switch {
	case !d.isPeer(from, hello || n >= MinFrame):
		d.rxForeign.Add(1)
	case n > MaxFrame:
		d.rxOversize.Add(1)
	case n >= MinFrame:
		return true
	case !hello:
		d.rxMalformed.Add(1)
	}
	return false
}

// isPeer reports whether from is the peer, and makes it the peer if that is open and
// it said something that makes sense.
func (d *datagram) isPeer(from address, sense bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case from == d.peer:
		return true
	case d.fixed:
		return false
	case !sense || from == address{}: // who has no name can be heard, not answered
		return true
	}
	if d.peer != (address{}) {
		d.disconnects.Add(1)
	}
	d.peer = from
	d.connects.Add(1)
	return true
}

// forget ends the time of a peer that was learned and is gone.
func (d *datagram) forget(peer address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.fixed && d.peer == peer {
		d.peer = address{}
		d.disconnects.Add(1)
	}
}

// Write implements [Device].
func (d *datagram) Write(frames [][]byte) (int, error) {
	d.wmu.Lock()
	defer d.wmu.Unlock()
	for n := 0; n < len(frames); {
		if d.closed.Load() {
			return n, closedErr(d.spec)
		}
		d.mu.Lock()
		peer := d.peer
		d.mu.Unlock()
		run := fitting(frames[n:], d.mtu)
		if run == 0 {
			d.txInvalid.Add(1)
			n++
			continue
		}
		if peer == (address{}) {
			d.txDown.Add(uint64(run))
			n += run
			continue
		}
		sent, err := d.sock.send(frames[n:n+run], nil, peer)
		n += sent
		if err == nil {
			continue
		}
		if d.closed.Load() {
			return n, closedErr(d.spec)
		}
		trouble := sendTrouble(err)
		if trouble == fatal {
			return n, fmt.Errorf("%s: %w", d.spec, err)
		}
		d.countTrouble(trouble)
		n++
		if trouble == down {
			d.forget(peer)
		}
	}
	if d.closed.Load() {
		return 0, closedErr(d.spec)
	}
	return len(frames), nil
}

// fitting is how many frames, from the first on, may be sent.
func fitting(frames [][]byte, mtu int) int {
	for i, frame := range frames {
		if !fits(frame, mtu) {
			return i
		}
	}
	return len(frames)
}

// trouble is what it means that the system refused a frame.
type trouble int

const (
	fatal   trouble = iota // the device is of no more use
	down                   // nobody is there
	full                   // no memory, no room in a queue, a filter
	toolong                // for the system
)

// sendTrouble judges the error of a send.
func sendTrouble(err error) trouble {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fatal
	}
	switch errno {
	case syscall.ECONNREFUSED, syscall.ENOENT, syscall.ENOTCONN, syscall.EPIPE, syscall.ECONNRESET, syscall.ENETDOWN,
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL:
		return down
	case syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EACCES:
		return full
	case syscall.EMSGSIZE:
		return toolong
	}
	return fatal
}

// countTrouble counts one frame that the system refused.
func (b *books) countTrouble(t trouble) {
	switch t {
	case down:
		b.txDown.Add(1)
	case full:
		b.txDropped.Add(1)
	case toolong:
		b.txInvalid.Add(1)
	}
}

// Addr is where the device receives.
func (d *datagram) Addr() net.Addr { return d.sock.conn.LocalAddr() }

// Counters implements [Counting].
func (d *datagram) Counters() Counters {
	c := d.books.Counters()
	c.RxDropped = d.sock.drops()
	return c
}

// MTU implements [Device].
func (d *datagram) MTU() int { return d.mtu }

// Name implements [Device].
func (d *datagram) Name() string { return d.name }

// Close implements [Device].
func (d *datagram) Close() (err error) {
	d.shut.Do(func() {
		d.closed.Store(true)
		err = d.sock.close()
		if d.path != "" {
			if rerr := os.Remove(d.path); err == nil && !errors.Is(rerr, os.ErrNotExist) {
				err = rerr
			}
		}
	})
	return err
}
