package vnetif

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// errorOf turns a stack's error into the one that a system call of a kernel
// would give, so that errors.Is(err, syscall.ECONNREFUSED) and the like work.
func errorOf(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrConnectionRefused:
		return syscall.ECONNREFUSED
	case *tcpip.ErrConnectionReset:
		return syscall.ECONNRESET
	case *tcpip.ErrConnectionAborted:
		return syscall.ECONNABORTED
	case *tcpip.ErrTimeout:
		return syscall.ETIMEDOUT
	case *tcpip.ErrHostUnreachable, *tcpip.ErrHostDown:
		return syscall.EHOSTUNREACH
	case *tcpip.ErrNetworkUnreachable:
		return syscall.ENETUNREACH
	case *tcpip.ErrMessageTooLong:
		return syscall.EMSGSIZE
	case *tcpip.ErrPortInUse:
		return syscall.EADDRINUSE
	case *tcpip.ErrBadLocalAddress:
		return syscall.EADDRNOTAVAIL
	case *tcpip.ErrNoPortAvailable:
		return syscall.EADDRNOTAVAIL
	case *tcpip.ErrNoBufferSpace:
		return syscall.ENOBUFS
	case *tcpip.ErrClosedForSend:
		return syscall.EPIPE
	case *tcpip.ErrNotConnected:
		return syscall.ENOTCONN
	case *tcpip.ErrDestinationRequired:
		return syscall.EDESTADDRREQ
	case *tcpip.ErrNotPermitted, *tcpip.ErrBroadcastDisabled:
		return syscall.EACCES
	default:
		return errors.New(err.String())
	}
}

// callError wraps an error number like the net package does, with the name of
// the call; other errors stay as they are.
func callError(call string, err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return os.NewSyscallError(call, no)
	}
	return err
}

func tcpAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }
func udpAddr(a netip.AddrPort) net.Addr { return net.UDPAddrFromAddrPort(a) }

func ipAddr(a netip.AddrPort) net.Addr {
	return &net.IPAddr{IP: a.Addr().AsSlice(), Zone: a.Addr().Zone()}
}

// addrPort converts a stack's address; an empty one becomes the unspecified
// address of the family of the protocol.
func addrPort(a tcpip.FullAddress, v6 bool) netip.AddrPort {
	ip, ok := netip.AddrFromSlice(a.Addr.AsSlice())
	if !ok {
		ip = netip.IPv4Unspecified()
		if v6 {
			ip = netip.IPv6Unspecified()
		}
	}
	return netip.AddrPortFrom(ip, a.Port)
}

// fullAddress converts the other way; the unspecified address becomes the empty one.
func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{Port: a.Port()}
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		f.Addr = tcpip.AddrFromSlice(a.Addr().AsSlice())
	}
	return f
}
