package vnetif

import (
	"errors"
	"net"
	"slices"

	"github.com/vnreplay/vnreplay/switch"
)

// Backend is what interfaces are plugged into: it takes the frames of one port and
// hands them to others. [*vswitch.Switch] is one, with faults, recordings and an order
// of everything; any type with these two methods is another ([NewRaw] and [NewHost]
// find out P by themselves), and package backendtest says whether it keeps to what is
// said here. Ports that embed a [BasePort] do, if each frame goes to the right ones.
//
//   - A port that asks for a name, an address or an MTU gets it; others get a name of
//     their own, an address of their own, which is the same in every run and no group
//     address, and vswitch.DefaultMTU.
//   - A frame comes to every other port, or only to where its destination is; to each
//     at most once, never to the port that sent it, and in the order in which that one
//     sent them.
//   - It comes as it was when Send was called, in bytes that are the receiver's alone
//     until Deliver returns: senders use their buffer again, and receivers write into
//     theirs.
//   - Endpoints are handed frames one at a time. From within Deliver they may send, and
//     may close their port.
//   - After Close no call of Deliver begins, also for frames that are on their way; but
//     one whose turn had come may, where frames are delivered on several goroutines.
//
// A backend may deliver inside Send, before that returns: then interfaces work, but not
// hosts, whose stacks cannot be entered while they send. One that delivers later uses
// the world's clock ([vswitch.Node.StackClock]), so that in virtual time it is the
// world's loop that delivers, and runs repeat. A timer for each frame and receiver is
// best: what several receivers do at the same event is ordered by the Go scheduler.
type Backend[P Port] interface {
	// World is the world whose clock the backend's frames take their time by.
	World() *vswitch.World
	// Connect plugs in a new port, with e at its other end.
	Connect(cfg vswitch.PortConfig, e vswitch.Endpoint) (P, error)
}

// Port is one port of a [Backend]. [*vswitch.Port] is one.
type Port interface {
	Name() string     // in the world: no other interface of it has the name
	MAC() vswitch.MAC // of the endpoint
	MTU() int         // the largest payload after the Ethernet header, in bytes

	// Send takes a frame, with its Ethernet header and without FCS. It copies it, does
	// not block in virtual time, and may be called from any goroutine. The error is
	// vswitch.ErrRunt for a frame without a whole Ethernet header, vswitch.ErrTooBig for
	// one of more than MTU bytes after it, and net.ErrClosed after Close.
	Send(frame []byte) error

	// Close unplugs the port. It may be called more than once.
	Close() error
}

var (
	_ Backend[*vswitch.Port] = (*vswitch.Switch)(nil)
	_ wire                   = (*vswitch.Port)(nil)
)

// wire is a port as a host's link needs it; *vswitch.Port is one.
type wire interface {
	Port
	Sendv(parts [][]byte) error
	SendBatch(frames [][]byte) (sent int, err error)
}

// plug connects endpoints to a backend.
type plug func(cfg vswitch.PortConfig, e vswitch.Endpoint) (wire, error)

// plugOf is the way into a backend without the type of its ports.
func plugOf[P Port](on Backend[P]) plug {
	return func(cfg vswitch.PortConfig, e vswitch.Endpoint) (wire, error) {
		p, err := on.Connect(cfg, e)
		if err != nil {
			return nil, err
		}
		if w, ok := Port(p).(wire); ok {
			return w, nil
		}
		return plainPort{p}, nil
	}
}

// plainPort is a port that takes frames one at a time and in one piece.
type plainPort struct{ Port }

func (p plainPort) Sendv(parts [][]byte) error {
	if len(parts) == 1 {
		return p.Send(parts[0])
	}
	return p.Send(slices.Concat(parts...))
}

func (p plainPort) SendBatch(frames [][]byte) (sent int, err error) {
	for _, frame := range frames {
		refused := p.Send(frame)
		switch {
		case refused == nil:
			sent++
		case errors.Is(refused, net.ErrClosed):
			return sent, errors.Join(err, refused)
		}
		err = errors.Join(err, refused)
	}
	return sent, err
}
