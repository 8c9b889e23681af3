package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// tapvsock is gvisor-tap-vsock's switch with two clients as vfkit makes them:
// pairs of unix datagram sockets, a frame in each datagram.
type tapvsock struct {
	sw      *tap.Switch
	cancel  context.CancelFunc
	served  sync.WaitGroup
	ends    [2]int      // the clients' ends
	clients [2]net.Conn // the switch's
}

// Socket buffers as vfkit sets them.
const vfkitSend, vfkitReceive = 1 << 20, 4 << 20

func newTapvsock() (*tapvsock, error) {
	logrus.SetOutput(io.Discard) // it calls the end of a client an error
	t := &tapvsock{sw: tap.NewSwitch(false)}
	t.sw.Connect(noGateway{})
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	for i := range t.ends {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, errors.Join(os.NewSyscallError("socketpair", err), t.close())
		}
		for _, fd := range fds {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, vfkitSend)
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, vfkitReceive)
		}
		t.ends[i] = fds[0]
		file := os.NewFile(uintptr(fds[1]), "switch")
		t.clients[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.served.Go(func() { _ = t.sw.Accept(ctx, t.clients[i], types.VfkitProtocol) })
	}
	return t, nil
}

// close ends the switch. The clients' ends must not be in use any more.
func (t *tapvsock) close() error {
	t.cancel()
	for _, c := range t.clients {
		if c != nil {
			c.Close() // ends Accept, which closes it as well
		}
	}
	t.served.Wait()
	var errs []error
	for i, fd := range t.ends {
		if fd > 0 {
			errs = append(errs, unix.Close(fd))
		}
		t.ends[i] = 0
	}
	return errors.Join(errs...)
}

// noGateway is the gateway that the switch wants to have. Nothing is for it.
type noGateway struct{}

func (noGateway) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}
func (noGateway) LinkAddress() tcpip.LinkAddress                                        { return "\x02\x00\x00\x00\x00\xfe" }
func (noGateway) IP() string                                                            { return "10.0.0.254" }

// tapvsockLinks are two stacks' ends on such a switch.
func tapvsockLinks(mtu uint32) (ends [2]stack.LinkEndpoint, closeLinks func() error, err error) {
	t, err := newTapvsock()
	if err != nil {
		return ends, nil, err
	}
	for i, fd := range t.ends {
		ends[i], err = fdbased.New(&fdbased.Options{
			FDs: []int{fd}, MTU: mtu, EthernetHeader: true, Address: tcpip.LinkAddress([]byte{2, 0, 0, 0, 0, byte(i + 1)}),
			PacketDispatchMode: fdbased.RecvMMsg,
		})
		if err != nil {
			return ends, nil, errors.Join(err, t.close())
		}
	}
	return ends, func() error {
		for _, e := range ends { // Destroy of the stacks has told their readers to end
			e.Wait()
		}
		return t.close()
	}, nil
}
