package tap

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

// tapDevice is a Linux TAP device: what the kernel sends out of the interface is read,
// and what is written comes in there. A call of the system moves one frame.
type tapDevice struct {
	books
	spec   string
	link   iface
	file   *os.File
	raw    syscall.RawConn
	ask    asker
	closed atomic.Bool

	rmu, wmu sync.Mutex // held by Read and by Write

	shut    sync.Mutex    // held by Close, and while the kernel is asked
	dropped atomic.Uint64 // by the kernel, when it was last asked
}

// openTAP opens the TAP device of a name, or makes it.
func openTAP(spec, name string, mtu int, up bool) (Device, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case isDenied(err):
		return nil, &PrivilegeError{spec, "sudo chmod 0666 " + tunPath, &os.PathError{Op: "open", Path: tunPath, Err: err}}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("%s: %s: %w: the kernel's module for TAP is not there: sudo modprobe tun; in a container, start it with --device %s", spec, tunPath, err, tunPath)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", spec, &os.PathError{Op: "open", Path: tunPath, Err: err})
	}
	err = attachTAP(spec, fd, name)
	if err == nil {
		var dev Device
		if dev, err = newTAP(spec, fd, name, mtu, up); err == nil {
			return dev, nil
		}
	}
	unix.Close(fd)
	return nil, err
}

// attachTAP makes fd the file of the TAP device of a name.
func attachTAP(spec string, fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	// A device made with "ip tuntap add ... multi_queue" is opened as such only.
	for _, flags := range []uint16{unix.IFF_TAP | unix.IFF_NO_PI, unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE} {
		ifr.SetUint16(flags)
		if err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	switch {
	case isDenied(err):
		return &PrivilegeError{spec, fmt.Sprintf("sudo ip tuntap add dev %s mode tap user %s && sudo ip link set dev %s up", name, userName(), name), os.NewSyscallError("TUNSETIFF", err)}
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s: %w: another process has the device", spec, os.NewSyscallError("TUNSETIFF", err))
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s: %w: there is an interface %s and it is no TAP device; packet:%s uses it as it is", spec, os.NewSyscallError("TUNSETIFF", err), name, name)
	case err != nil:
		return fmt.Errorf("%s: %w", spec, os.NewSyscallError("TUNSETIFF", err))
	}
	return nil
}

// openTAPFile takes an open TAP device over: unless there is an error, the descriptor is
// the device's from then on.
func openTAPFile(spec string, fd, mtu int) (Device, error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		return nil, fmt.Errorf("%s: descriptor %d is not that of a TAP device: %w", spec, fd, os.NewSyscallError("TUNGETIFF", err))
	}
	const wanted, unwanted = unix.IFF_TAP | unix.IFF_NO_PI, unix.IFF_VNET_HDR
	if flags := ifr.Uint16(); flags&wanted != wanted || flags&unwanted != 0 {
		return nil, wrongFlags(spec, ifr.Name())
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("%s: %w", spec, os.NewSyscallError("fcntl", err))
	}
	unix.CloseOnExec(fd)
	return newTAP(spec, fd, ifr.Name(), mtu, false)
}

func wrongFlags(spec, name string) error {
	return fmt.Errorf("%s: %s is not as it should be: want IFF_TAP and IFF_NO_PI, and not IFF_VNET_HDR", spec, name)
}

// newTAP makes a device of an attached fd, which stays the caller's if there is an error.
func newTAP(spec string, fd int, name string, mtu int, up bool) (Device, error) {
	t := &tapDevice{spec: spec}
	if err := t.configure(fd, name, mtu, up); err != nil {
		return nil, err
	}
	// Only now that it has a device can the descriptor be waited for.
	t.file = os.NewFile(uintptr(fd), tunPath)
	t.raw, _ = t.file.SyscallConn() // there is a file, so there is no error
	return t, nil
}

func (t *tapDevice) configure(fd int, name string, mtu int, up bool) (err error) {
	// Whoever had the device before may have told the kernel to leave work to it.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("%s: %w", t.spec, os.NewSyscallError("TUNSETOFFLOAD", err))
	}
	if t.ask, err = newAsker(); err != nil {
		return fmt.Errorf("%s: %w", t.spec, err)
	}
	defer func() {
		if err != nil {
			t.ask.close()
		}
	}()
	if t.link, err = t.ask.byName(name); err != nil {
		return fmt.Errorf("%s: %s: %w", t.spec, name, err)
	}
	if t.link.tunHeads {
		// TUNGETIFF does not tell: IFF_NO_PI and IFF_NOFILTER are one number.
		return wrongFlags(t.spec, name)
	}
	if mtu == t.link.mtu {
		mtu = 0
	}
	up = up && t.link.flags&unix.IFF_UP == 0
	if mtu != 0 || up {
		err := setInterface(name, mtu, up)
		switch {
		case isDenied(err) && mtu != 0:
			return &PrivilegeError{t.spec, fmt.Sprintf("sudo ip link set dev %s up mtu %d", name, mtu), err}
		case isDenied(err):
			return &PrivilegeError{t.spec, fmt.Sprintf("sudo ip link set dev %s up (or give the option down)", name), err}
		case err != nil:
			return fmt.Errorf("%s: %w", t.spec, err)
		}
		if t.link, err = t.ask.byName(name); err != nil {
			return fmt.Errorf("%s: %s: %w", t.spec, name, err)
		}
	}
	return nil
}

// Read implements [Device].
func (t *tapDevice) Read(bufs [][]byte, sizes []int) (n int, err error) {
	if _, err := checkBuffers(bufs, sizes); err != nil {
		return 0, err
	}
	t.rmu.Lock()
	defer t.rmu.Unlock()
	waited := t.raw.Read(func(fd uintptr) bool {
		for n < len(bufs) {
			size, rerr := unix.Read(int(fd), bufs[n])
			switch {
			case rerr == unix.EINTR:
				continue
			case rerr == unix.EAGAIN:
				return n > 0
			case rerr != nil:
				err = rerr
				return true
			case size < MinFrame:
				t.rxMalformed.Add(1)
			default:
				sizes[n] = size
				n++
			}
		}
		return true
	})
	switch {
	case n > 0:
		return n, nil // an error comes again
	case waited != nil || t.closed.Load():
		return 0, t.notWaitedFor(waited)
	}
	return 0, t.gone(os.NewSyscallError("read", err))
}

// notWaitedFor explains that the runtime does not wait for the device's descriptor any
// more: it was closed, or its interface is gone, which the poller may see first and which
// the descriptor then says itself.
func (t *tapDevice) notWaitedFor(waited error) error {
	var err error
	if t.closed.Load() || t.raw.Control(func(fd uintptr) { _, err = unix.Read(int(fd), make([]byte, MaxFrame)) }) != nil {
		return closedErr(t.spec)
	}
	if err != nil && err != unix.EAGAIN {
		return t.gone(os.NewSyscallError("read", err))
	}
	return t.gone(waited)
}

// gone explains an error of the device's file.
func (t *tapDevice) gone(err error) error {
	if errors.Is(err, unix.EBADFD) {
		return fmt.Errorf("%s: interface %s was removed: %w", t.spec, t.link.name, err)
	}
	return fmt.Errorf("%s: %w", t.spec, err)
}

// Write implements [Device].
func (t *tapDevice) Write(frames [][]byte) (n int, err error) {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	waited := t.raw.Write(func(fd uintptr) bool {
		for n < len(frames) {
			if !fits(frames[n], t.link.mtu) {
				t.txInvalid.Add(1)
				n++
				continue
			}
			_, werr := unix.Write(int(fd), frames[n])
			switch werr {
			case nil:
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false
			case unix.EIO: // the interface is not up
				t.txDown.Add(1)
			case unix.ENOBUFS, unix.ENOMEM:
				t.txDropped.Add(1)
			case unix.EINVAL: // the kernel has looked at it and wants none of it
				t.txInvalid.Add(1)
			default:
				err = werr
				return true
			}
			n++
		}
		return true
	})
	switch {
	case waited != nil || t.closed.Load():
		return n, t.notWaitedFor(waited)
	case err != nil:
		return n, t.gone(os.NewSyscallError("write", err))
	}
	return n, nil
}

// MTU implements [Device].
func (t *tapDevice) MTU() int { return t.link.mtu }

// Name implements [Device].
func (t *tapDevice) Name() string { return t.link.name }

// MAC implements [Addressed]: the address of the kernel's interface.
func (t *tapDevice) MAC() vswitch.MAC { return t.link.mac }

// Counters implements [Counting].
func (t *tapDevice) Counters() Counters {
	t.shut.Lock()
	defer t.shut.Unlock()
	if !t.closed.Load() {
		t.askDropped()
	}
	c := t.books.Counters()
	c.RxDropped = t.dropped.Load()
	return c
}

// askDropped asks how many frames the kernel has dropped on their way out of the interface.
func (t *tapDevice) askDropped() {
	if now, err := t.ask.byIndex(t.link.index); err == nil {
		t.dropped.Store(now.txDropped - t.link.txDropped)
	}
}

// Close implements [Device].
func (t *tapDevice) Close() error {
	t.shut.Lock()
	defer t.shut.Unlock()
	if t.closed.Load() {
		return nil
	}
	t.askDropped()
	t.closed.Store(true)
	t.ask.close()
	return t.file.Close()
}
