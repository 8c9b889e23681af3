package vnetif

import (
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// PacketConn sends and receives datagrams: UDP, or ICMP echo messages.
type PacketConn struct {
	*socket
	v6 bool
}

var (
	_ net.PacketConn = (*PacketConn)(nil)
	_ net.Conn       = (*PacketConn)(nil)
)

// ReadFrom reads one datagram, parking until there is one. What does not fit
// into b is lost.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	var from tcpip.FullAddress
	n, err := c.read(b, &from)
	if err != nil {
		return 0, nil, err
	}
	return n, c.addrOf(from), nil
}

// WriteTo sends one datagram to a *net.UDPAddr, or a *net.IPAddr for ICMP.
func (c *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if c.remote != nil {
		return 0, c.opError("write", addr, net.ErrWriteToConnected)
	}
	var to netip.AddrPort
	switch a := addr.(type) {
	case *net.UDPAddr:
		to = a.AddrPort()
	case *net.IPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		to = netip.AddrPortFrom(ip, 0)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if !to.Addr().IsValid() || to.Addr().Is6() && !c.v6 {
		return 0, c.opError("write", addr, &net.AddrError{Err: fmt.Sprintf("not an address for %s", c.network), Addr: fmt.Sprint(addr)})
	}
	full := fullAddress(to)
	if to.Addr().Is4() && c.v6 {
		full.Addr = tcpip.AddrFrom16(netip.AddrFrom16(to.Addr().As16()).As16())
	}
	return c.write(b, &full, addr)
}

// Read reads one datagram of the connected peer.
func (c *PacketConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

// Write sends one datagram to the connected peer.
func (c *PacketConn) Write(b []byte) (int, error) { return c.write(b, nil, c.remote) }

// Close closes the socket; datagrams that were not read are lost.
func (c *PacketConn) Close() error { return c.close(c.ep.Close) }
