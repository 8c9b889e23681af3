package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"golang.org/x/sys/unix"
)

// iface is what the kernel says of a network interface.
type iface struct {
	index     int
	name      string
	flags     uint32 // IFF_UP, ...
	mtu       int
	mac       vswitch.MAC
	txDropped uint64
	tunHeads  bool // a TUN or TAP device that puts something before each frame
}

var errNoInterface = errors.New("there is no such interface")

// asker asks the kernel about interfaces of the network namespace in which it was made,
// by rtnetlink(7), whatever the one of the thread that asks later.
type asker struct{ fd int }

func newAsker() (asker, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return asker{}, os.NewSyscallError("socket", err)
	}
	// The kernel answers within the request. This is for a kernel that does not.
	tv := unix.Timeval{Sec: 5}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		unix.Close(fd)
		return asker{}, os.NewSyscallError("setsockopt", err)
	}
	return asker{fd}, nil
}

func (a asker) close() { unix.Close(a.fd) }

// byName asks for an interface. The error is errNoInterface if there is none.
func (a asker) byName(name string) (iface, error) {
	attr := make([]byte, unix.SizeofRtAttr, 32)
	attr = append(append(attr, name...), 0)
	binary.NativeEndian.PutUint16(attr[0:], uint16(len(attr)))
	binary.NativeEndian.PutUint16(attr[2:], unix.IFLA_IFNAME)
	for len(attr)%4 != 0 {
		attr = append(attr, 0)
	}
	return a.ask(0, attr)
}

func (a asker) byIndex(index int) (iface, error) { return a.ask(index, nil) }

// ask sends RTM_GETLINK and reads the answer.
func (a asker) ask(index int, attr []byte) (iface, error) {
	req := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg, 96)
	binary.NativeEndian.PutUint16(req[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(req[unix.SizeofNlMsghdr+4:], uint32(index))
	req = append(req, attr...)
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	if err := unix.Sendto(a.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return iface{}, os.NewSyscallError("netlink", err)
	}
	buf := make([]byte, 32<<10)
	n, _, err := unix.Recvfrom(a.fd, buf, 0)
	if err != nil {
		return iface{}, os.NewSyscallError("netlink", err)
	}
	msgs, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil || len(msgs) == 0 {
		return iface{}, fmt.Errorf("netlink: an answer of %d bytes that is none (%v)", n, err)
	}
	switch msg := &msgs[0]; msg.Header.Type {
	case unix.NLMSG_ERROR:
		errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(msg.Data)))
		if errno == unix.ENODEV {
			return iface{}, errNoInterface
		}
		return iface{}, os.NewSyscallError("netlink", errno)
	case unix.RTM_NEWLINK:
		return parseLink(msg)
	default:
		return iface{}, fmt.Errorf("netlink: an answer of type %d", msg.Header.Type)
	}
}

// parseLink reads RTM_NEWLINK: struct ifinfomsg and attributes.
func parseLink(msg *syscall.NetlinkMessage) (iface, error) {
	attrs, err := syscall.ParseNetlinkRouteAttr(msg)
	if err != nil {
		return iface{}, os.NewSyscallError("netlink", err)
	}
	i := iface{
		index: int(int32(binary.NativeEndian.Uint32(msg.Data[4:]))),
		flags: binary.NativeEndian.Uint32(msg.Data[8:]),
	}
	// The eighth number of struct rtnl_link_stats64.
	const txDroppedAt = 7 * 8
	for _, a := range attrs {
		switch {
		case a.Attr.Type == unix.IFLA_IFNAME:
			i.name = string(a.Value[:clen(a.Value)])
		case a.Attr.Type == unix.IFLA_MTU && len(a.Value) >= 4:
			i.mtu = int(binary.NativeEndian.Uint32(a.Value))
		case a.Attr.Type == unix.IFLA_ADDRESS && len(a.Value) == len(i.mac):
			i.mac = vswitch.MAC(a.Value)
		case a.Attr.Type == unix.IFLA_STATS64 && len(a.Value) >= txDroppedAt+8:
			i.txDropped = binary.NativeEndian.Uint64(a.Value[txDroppedAt:])
		case a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_LINKINFO:
			i.tunHeads = tunHeads(a.Value)
		}
	}
	return i, nil
}

// tunHeads looks for the packet information and the virtio head in what the kernel says about
// the kind of an interface.
func tunHeads(info []byte) (found bool) {
	const tunPI, tunVnetHeader = 4, 5 // IFLA_TUN_PI, IFLA_TUN_VNET_HDR of linux/if_link.h
	isTun := false
	attributes(info, func(kind int, value []byte) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			isTun = string(value[:clen(value)]) == "tun"
		case unix.IFLA_INFO_DATA:
			attributes(value, func(kind int, value []byte) {
				if (kind == tunPI || kind == tunVnetHeader) && len(value) > 0 && value[0] != 0 {
					found = true
				}
			})
		}
	})
	return found && isTun
}

// attributes calls f for each attribute of a nest.
func attributes(b []byte, f func(kind int, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		f(int(binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED), b[unix.SizeofRtAttr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// setInterface changes the MTU, unless it is 0, and sets an interface up if that is wanted.
// It is called on the thread that opened the device.
func setInterface(name string, mtu int, up bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if mtu != 0 {
		ifr.SetUint32(uint32(mtu))
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, ifr); err != nil {
			return os.NewSyscallError("SIOCSIFMTU", err)
		}
	}
	if up {
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
			return os.NewSyscallError("SIOCGIFFLAGS", err)
		}
		ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
			return os.NewSyscallError("SIOCSIFFLAGS", err)
		}
	}
	return nil
}

// userName is how commands call the user of this process.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

// isDenied reports whether the system said that the process may not.
func isDenied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }
