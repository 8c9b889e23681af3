package tap

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

const (
	vxlanPort      = 4789 // IANA, RFC 7348 section 8.1
	vxlanHeaderLen = 8
	vxlanFlagI     = 0x08 // the network identifier is valid

	// What a tunnelled frame costs of the underlay's MTU: IPv4 or IPv6, UDP, VXLAN, Ethernet.
	vxlanCost4 = 20 + 8 + vxlanHeaderLen + vswitch.HeaderLen
	vxlanCost6 = 40 + 8 + vxlanHeaderLen + vswitch.HeaderLen

	maxRemotes  = 256
	maxLearned  = 8192
	learnedLife = 5 * time.Minute // as a Linux vxlan device has it
)

// vxlanHeader is the head of a datagram: flags, three reserved bytes, the network in
// three bytes, big-endian, one reserved byte (RFC 7348 section 5).
func vxlanHeader(vni uint32) [vxlanHeaderLen]byte {
	var h [vxlanHeaderLen]byte
	h[0] = vxlanFlagI
	binary.BigEndian.PutUint32(h[4:], vni<<8)
	return h
}

// parseVXLANHeader reads the network out of a head. What is reserved may be anything.
func parseVXLANHeader(h []byte) (vni uint32, ok bool) {
	if len(h) < vxlanHeaderLen || h[0]&vxlanFlagI == 0 {
		return 0, false
	}
	return binary.BigEndian.Uint32(h[4:]) >> 8, true
}

// vxlanConfig is what a spec says.
type vxlanConfig struct {
	vni     uint32
	local   netip.AddrPort
	remotes []netip.AddrPort
	mtu     int // 0: from the underlay
}

// vxlan is a device that is one end of tunnels to remotes.
type vxlan struct {
	books
	spec   string
	cfg    vxlanConfig
	header [vxlanHeaderLen]byte
	sock   *socket
	closed atomic.Bool
	shut   sync.Once

	rmu, wmu sync.Mutex // held by Read and by Write

	mu      sync.Mutex
	remotes []netip.AddrPort // given, or else learned
	learned map[vswitch.MAC]station
}

// station is behind which remote an address lives, and when it was last heard.
type station struct {
	remote netip.AddrPort
	heard  time.Time
}

func openVXLAN(spec string, cfg vxlanConfig) (Device, error) {
	if cfg.mtu == 0 {
		cfg.mtu = underlayMTU(cfg.local.Addr())
	}
	network := "udp4"
	if cfg.local.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(cfg.local))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	conn.SetReadBuffer(socketBuffer) // less will do
	conn.SetWriteBuffer(socketBuffer)
	sock, err := newSocket(conn, vxlanHeaderLen)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return &vxlan{
		spec:    spec,
		cfg:     cfg,
		header:  vxlanHeader(cfg.vni),
		sock:    sock,
		remotes: append([]netip.AddrPort(nil), cfg.remotes...),
		learned: map[vswitch.MAC]station{},
	}, nil
}

// underlayMTU is the MTU inside of tunnels from local.
func underlayMTU(local netip.Addr) int {
	cost, most := vxlanCost4, 1500
	if local.Is6() {
		cost = vxlanCost6
	}
	ifs, _ := net.Interfaces() // without them, what Ethernet has
	for _, i := range ifs {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(local.AsSlice()) {
				most = i.MTU
			}
		}
	}
	// A datagram has at most 65535 bytes with its IP header, whatever the interface, also
	// with a frame that has a tag.
	return min(most, 65535-tagLen) - cost
}

// Read implements [Device].
func (v *vxlan) Read(bufs [][]byte, sizes []int) (int, error) {
	if _, err := checkBuffers(bufs, sizes); err != nil {
		return 0, err
	}
	v.rmu.Lock()
	defer v.rmu.Unlock()
	for {
		if v.closed.Load() {
			return 0, closedErr(v.spec)
		}
		came, err := v.sock.recv(bufs, sizes)
		switch {
		case v.closed.Load():
			return 0, closedErr(v.spec)
		case err != nil && sendTrouble(err) != fatal:
			continue // an answer to something that was sent
		case err != nil:
			return 0, fmt.Errorf("%s: %w", v.spec, err)
		}
		if n := v.take(bufs, sizes, came); n > 0 {
			return n, nil
		}
	}
}

// take keeps the frames among the datagrams that came, and learns from them.
func (v *vxlan) take(bufs [][]byte, sizes []int, came int) (n int) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range came {
		size := sizes[i]
		if size < MinFrame {
			v.rxMalformed.Add(1)
			continue
		}
		vni, ok := parseVXLANHeader(v.sock.headOf(i))
		if !ok {
			v.rxMalformed.Add(1)
			continue
		}
		remote, known := v.remote(v.sock.from[i].ip)
		if vni != v.cfg.vni || !known {
			v.rxForeign.Add(1)
			continue
		}
		if size > MaxFrame {
			v.rxOversize.Add(1)
			continue
		}
		if n != i {
			copy(bufs[n], bufs[i][:size])
		}
		sizes[n] = size
		v.learn(vswitch.MAC(bufs[n][6:12]), remote, now)
		n++
	}
	return n
}

// remote is which remote sent from an address. The port of that says nothing where the
// sender chooses one for each flow, as RFC 7348 wants; but remotes may differ in
// nothing else. Without remotes given, it is a new one, at the port of our own.
func (v *vxlan) remote(from netip.AddrPort) (netip.AddrPort, bool) {
	var found netip.AddrPort
	for _, r := range v.remotes {
		if r == from {
			return r, true
		}
		if r.Addr() == from.Addr() && !found.IsValid() {
			found = r
		}
	}
	switch {
	case found.IsValid():
		return found, true
	case len(v.cfg.remotes) > 0 || len(v.remotes) == maxRemotes:
		return netip.AddrPort{}, false
	}
	found = netip.AddrPortFrom(from.Addr(), v.cfg.local.Port())
	v.remotes = append(v.remotes, found)
	v.connects.Add(1)
	return found, true
}

// learn notes where an address lives. Where the table is full, frames for the next ones
// go to all.
func (v *vxlan) learn(mac vswitch.MAC, remote netip.AddrPort, now time.Time) {
	if mac.IsGroup() {
		return
	}
	if _, had := v.learned[mac]; !had && len(v.learned) == maxLearned {
		for m, s := range v.learned {
			if now.Sub(s.heard) > learnedLife {
				delete(v.learned, m)
			}
		}
		if len(v.learned) == maxLearned {
			return
		}
	}
	v.learned[mac] = station{remote, now}
}

// Write implements [Device].
func (v *vxlan) Write(frames [][]byte) (int, error) {
	v.wmu.Lock()
	defer v.wmu.Unlock()
	var flood []netip.AddrPort
	for n := 0; n < len(frames); {
		if v.closed.Load() {
			return n, closedErr(v.spec)
		}
		if !fits(frames[n], v.cfg.mtu) {
			v.txInvalid.Add(1)
			n++
			continue
		}
		// As many as go the same way.
		to := v.way(frames[n])
		run := 1
		for n+run < len(frames) && fits(frames[n+run], v.cfg.mtu) && v.way(frames[n+run]) == to {
			run++
		}
		var err error
		if to.IsValid() {
			err = v.send(frames[n:n+run], to)
		} else {
			v.mu.Lock()
			flood = append(flood[:0], v.remotes...)
			v.mu.Unlock()
			if len(flood) == 0 {
				v.txDown.Add(uint64(run))
			}
			for _, r := range flood {
				if err = v.send(frames[n:n+run], r); err != nil {
					break
				}
			}
		}
		if err != nil {
			return n, err
		}
		n += run
	}
	if v.closed.Load() {
		return 0, closedErr(v.spec)
	}
	return len(frames), nil
}

// way is the remote that a frame is for, or the zero address: all.
func (v *vxlan) way(frame []byte) netip.AddrPort {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.learned[vswitch.MAC(frame[:6])]
	if !ok || time.Since(s.heard) > learnedLife {
		return netip.AddrPort{}
	}
	return s.remote
}

// send sends frames to one remote.
func (v *vxlan) send(frames [][]byte, to netip.AddrPort) error {
	for len(frames) > 0 {
		n, err := v.sock.send(frames, v.header[:], address{ip: to})
		if err == nil {
			return nil
		}
		if v.closed.Load() {
			return closedErr(v.spec)
		}
		t := sendTrouble(err)
		if t == fatal {
			return fmt.Errorf("%s: to %s: %w", v.spec, to, err)
		}
		v.countTrouble(t)
		frames = frames[n+1:]
	}
	return nil
}

// Addr is where the device receives.
func (v *vxlan) Addr() net.Addr { return v.sock.conn.LocalAddr() }

// Counters implements [Counting]. A frame that goes to several remotes is counted for
// each that it cannot be sent to.
func (v *vxlan) Counters() Counters {
	c := v.books.Counters()
	c.RxDropped = v.sock.drops()
	return c
}

// MTU implements [Device].
func (v *vxlan) MTU() int { return v.cfg.mtu }

// Name implements [Device].
func (v *vxlan) Name() string { return fmt.Sprintf("vxlan%d", v.cfg.vni) }

// Close implements [Device].
func (v *vxlan) Close() (err error) {
	v.shut.Do(func() {
		v.closed.Store(true)
		err = v.sock.close()
	})
	return err
}
