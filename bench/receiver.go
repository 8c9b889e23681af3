package main

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiver notes when the frames of a [capture] arrive at a device, by the kernel's
// clock as the device receives them, so that it does not matter when they are read.
type receiver struct {
	fd   int
	at   []time.Time // by their number
	stop atomic.Bool
	done chan error
}

// receiveBuffer is so much that nothing is lost while nobody reads, in bytes.
const receiveBuffer = 128 << 20

// newReceiver starts to receive on a device in the i-th namespace.
func newReceiver(ns *namespaces, i int, dev string, frames int) (*receiver, error) {
	r := &receiver{at: make([]time.Time, frames), done: make(chan error, 1)}
	err := ns.within(i, func() (err error) {
		iface, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
		err = errors.Join(
			unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
			unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
			unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: iface.Index}))
		if err != nil {
			unix.Close(r.fd)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	go func() { r.done <- r.receive() }()
	return r, nil
}

// end reads what has arrived, ends the receiver and returns when which frame
// arrived; the zero time for one that did not.
func (r *receiver) end() ([]time.Time, error) {
	r.stop.Store(true)
	err := errors.Join(<-r.done, unix.Close(r.fd))
	return r.at, err
}

func (r *receiver) receive() error {
	data, control := make([]byte, 1<<16), make([]byte, 256)
	for {
		n, c, _, from, err := unix.Recvmsg(r.fd, data, control, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if r.stop.Load() {
				return nil
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("recvmsg", err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if n != fedSize {
			continue // somebody else's
		}
		number := binary.BigEndian.Uint64(data[numberAt:])
		if at, ok := stampOf(control[:c]); ok && number < uint64(len(r.at)) && r.at[number].IsZero() {
			r.at[number] = at
		}
	}
}

// stampOf returns when the kernel received what came with these control messages.
func stampOf(control []byte) (time.Time, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Unix(ts.Unix()), true
		}
	}
	return time.Time{}, false
}
