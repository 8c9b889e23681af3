package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Frames checks the rules of frames and ports, each in a world of its own.
func Frames[P vnetif.Port](world vswitch.Config, create func(*vswitch.World) (vnetif.Backend[P], error)) error {
	var broken []error
	for _, rule := range []struct {
		name string
		run  func(l *lab) error
	}{
		{"ports", ports},
		{"broadcast", broadcast},
		{"unicast", unicast},
		{"sizes", sizes},
		{"Send copies the frame", sendCopies},
		{"each receiver has bytes of its own", ownBytes},
		{"Deliver may send", answers},
		{"Close", closing},
		{"Close inside Deliver", closingInside},
		{"many senders", manySenders},
	} {
		if err := check(world, create, func(l *lab, _ vnetif.Backend[P]) error { return rule.run(l) }); err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", rule.name, err))
		}
	}
	var macs [2][]vswitch.MAC
	for i := range macs {
		if err := check(world, create, func(l *lab, _ vnetif.Backend[P]) error {
			all, err := l.hub(3)
			for _, s := range all {
				macs[i] = append(macs[i], s.MAC())
			}
			return err
		}); err != nil {
			broken = append(broken, fmt.Errorf("addresses repeat: %w", err))
		}
	}
	if !slices.Equal(macs[0], macs[1]) {
		broken = append(broken, fmt.Errorf("addresses repeat: three ports have the addresses %v, and in another world %v", macs[0], macs[1]))
	}
	return errors.Join(broken...)
}

// ports: names, addresses and MTUs, asked for or not.
func ports(l *lab) error {
	asked := vswitch.PortConfig{Name: "asked", MAC: vswitch.MAC{2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}, MTU: 9000}
	all, err := l.plug(vswitch.PortConfig{}, asked, vswitch.PortConfig{})
	if err != nil {
		return err
	}
	names, macs := map[string]bool{}, map[vswitch.MAC]bool{}
	for _, s := range all {
		switch {
		case s.Name() == "" || names[s.Name()]:
			return fmt.Errorf("port %s has the name %q, which is empty or another port's", s.name, s.Name())
		case s.MAC() == vswitch.MAC{} || s.MAC().IsGroup() || macs[s.MAC()]:
			return fmt.Errorf("port %s has the address %v, which is none, that of a group, or another port's", s.name, s.MAC())
		}
		names[s.Name()], macs[s.MAC()] = true, true
	}
	if s := all[1]; s.Name() != asked.Name || s.MAC() != asked.MAC || s.MTU() != asked.MTU {
		return fmt.Errorf("a port that asked for name %s, address %v, MTU %d has %s, %v, %d", asked.Name, asked.MAC, asked.MTU, s.Name(), s.MAC(), s.MTU())
	}
	if mtu := all[0].MTU(); mtu != vswitch.DefaultMTU {
		return fmt.Errorf("a port that asked for no MTU has %d, want %d", mtu, vswitch.DefaultMTU)
	}
	return nil
}

// send has a station send frames with numbers, and returns them.
func send(from *station, dst vswitch.MAC, n int) (sent [][]byte, err error) {
	for i := range n {
		f := frame(dst, from, i, 60+i)
		if err := from.Send(f); err != nil {
			return nil, fmt.Errorf("port %s: Send of %d bytes: %w", from.name, len(f), err)
		}
		sent = append(sent, frame(dst, from, i, 60+i))
	}
	return sent, nil
}

// arrive waits until stations have got as many frames as these, and then for what is
// not to come; and says what is wrong.
func (l *lab) arrive(from *station, at []*station, want [][]byte) error {
	err := l.until(func() bool {
		return !slices.ContainsFunc(at, func(s *station) bool { return s.count() < len(want) })
	})
	if err := errors.Join(err, l.quiet()); err != nil {
		return err
	}
	for _, s := range at {
		if err := s.wants(from, want...); err != nil {
			return err
		}
	}
	return nil
}

func broadcast(l *lab) error {
	all, err := l.hub(4)
	if err != nil {
		return err
	}
	return l.run(func() error {
		sent, err := send(all[1], vswitch.Broadcast, 50)
		if err != nil {
			return err
		}
		return errors.Join(l.arrive(all[1], []*station{all[0], all[2], all[3]}, sent), all[1].wants(all[1]))
	})
}

// unicast: one that is for somebody else may come, as on a hub, or not.
func unicast(l *lab) error {
	all, err := l.hub(3)
	if err != nil {
		return err
	}
	return l.run(func() error {
		sent, err := send(all[0], all[2].MAC(), 50)
		if err != nil {
			return err
		}
		err = errors.Join(l.arrive(all[0], all[2:], sent), all[0].wants(all[0]))
		if all[1].count() > 0 {
			err = errors.Join(err, all[1].wants(all[0], sent...))
		}
		return err
	})
}

func sizes(l *lab) error {
	all, err := l.plug(vswitch.PortConfig{MTU: 1400}, vswitch.PortConfig{MTU: 1400})
	if err != nil {
		return err
	}
	a, b := all[0], all[1]
	return l.run(func() error {
		for _, c := range []struct {
			size int
			want error
		}{{0, vswitch.ErrRunt}, {13, vswitch.ErrRunt}, {1415, vswitch.ErrTooBig}} {
			if err := a.Send(make([]byte, c.size)); !errors.Is(err, c.want) {
				return fmt.Errorf("at a port of MTU 1400, Send of %d bytes: %v, want an error that is: %w", c.size, err, c.want)
			}
		}
		var sent [][]byte
		for i, size := range []int{14, 1414} {
			sent = append(sent, frame(b.MAC(), a, i, size))
			if err := a.Send(sent[i]); err != nil {
				return fmt.Errorf("at a port of MTU 1400, Send of %d bytes: %w", size, err)
			}
		}
		return l.arrive(a, all[1:], sent)
	})
}

func sendCopies(l *lab) error {
	all, err := l.hub(2)
	if err != nil {
		return err
	}
	return l.run(func() error {
		var want [][]byte
		for i := range 10 {
			f := frame(vswitch.Broadcast, all[0], i, 100)
			want = append(want, bytes.Clone(f))
			if err := all[0].Send(f); err != nil {
				return err
			}
			if !bytes.Equal(f, want[i]) {
				return errors.New("the sender's bytes were changed by Send")
			}
			clear(f) // the sender's, again
		}
		if err := l.arrive(all[0], all[1:], want); err != nil {
			return fmt.Errorf("after the sender used its buffer again: %w", err)
		}
		return nil
	})
}

func ownBytes(l *lab) error {
	all, err := l.hub(4)
	if err != nil {
		return err
	}
	for _, s := range all {
		s.then = func(data []byte) error {
			for i := range data {
				data[i] = 0xee
			}
			return nil
		}
	}
	return l.run(func() error {
		f := frame(vswitch.Broadcast, all[0], 1, 100)
		want := bytes.Clone(f)
		if err := all[0].Send(f); err != nil {
			return err
		}
		err := l.arrive(all[0], all[1:], [][]byte{want})
		switch {
		case !bytes.Equal(f, want):
			return errors.New("a receiver wrote into the bytes it was given, and the sender's changed")
		case err != nil:
			return fmt.Errorf("after a receiver wrote into the bytes it was given: %w", err)
		}
		return nil
	})
}

func answers(l *lab) error {
	all, err := l.hub(2)
	if err != nil {
		return err
	}
	a, b := all[0], all[1]
	b.then = func(data []byte) error {
		src, dst := b.MAC(), a.MAC()
		copy(data, dst[:])
		copy(data[6:], src[:])
		return b.Send(data)
	}
	return l.run(func() error {
		if _, err := send(a, b.MAC(), 10); err != nil {
			return err
		}
		var want [][]byte
		for i := range 10 {
			want = append(want, frame(a.MAC(), b, i, 60+i))
		}
		err := l.arrive(b, all[:1], want)
		_, _, failed := b.verdict()
		return errors.Join(err, failed)
	})
}

// closing: frames are on their way when the port is closed, and others come after.
func closing(l *lab) error {
	all, err := l.hub(3)
	if err != nil {
		return err
	}
	a, b := all[0], all[1]
	return l.run(func() error {
		sent, err := send(a, vswitch.Broadcast, 10)
		if err == nil {
			err = b.close()
		}
		if err != nil {
			return err
		}
		more, err := send(a, vswitch.Broadcast, 10)
		if err != nil {
			return err
		}
		if err := l.arrive(a, all[2:], append(sent, more...)); err != nil {
			return fmt.Errorf("when port b was closed: %w", err)
		}
		underWay := 0
		if l.world.RealTime() {
			underWay = 1
		}
		if late, _, _ := b.verdict(); late > underWay {
			return fmt.Errorf("port b was delivered %d frames after its Close had returned (%d may have been under way)", late, underWay)
		}
		if err := b.close(); err != nil {
			return fmt.Errorf("again: %w", err)
		}
		if err := b.Send(frame(a.MAC(), b, 0, 60)); !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("after Close, Send: %v, want net.ErrClosed", err)
		}
		return nil
	})
}

func closingInside(l *lab) error {
	all, err := l.hub(2)
	if err != nil {
		return err
	}
	all[1].then = func([]byte) error { return all[1].close() }
	return l.run(func() error {
		sent, err := send(all[0], vswitch.Broadcast, 5)
		if err != nil {
			return err
		}
		err = l.arrive(all[0], all[1:], sent[:1])
		_, _, failed := all[1].verdict()
		return errors.Join(err, failed)
	})
}

// manySenders: each station sends from a goroutine of its own. In the order of frames of
// different senders there is nothing wrong.
func manySenders(l *lab) error {
	const senders, each = 6, 100
	all, err := l.hub(senders)
	if err != nil {
		return err
	}
	for _, s := range all {
		l.world.Go(s.name, func(context.Context) error {
			_, err := send(s, vswitch.Broadcast, each)
			return err
		})
	}
	return l.run(func() error {
		err := l.until(func() bool {
			return !slices.ContainsFunc(all, func(s *station) bool { return s.count() < (senders-1)*each })
		})
		if err := errors.Join(err, l.quiet()); err != nil {
			return err
		}
		for _, s := range all {
			for _, from := range all {
				mac := from.MAC()
				one := &station{name: s.name}
				for _, f := range s.frames() {
					if bytes.Equal(f[6:12], mac[:]) {
						one.got = append(one.got, f)
					}
				}
				var want [][]byte
				for n := range each {
					if s != from {
						want = append(want, frame(vswitch.Broadcast, from, n, 60+n))
					}
				}
				if err := one.wants(from, want...); err != nil {
					return fmt.Errorf("of frames from port %s: %w", from.name, err)
				}
			}
			if _, crossed, _ := s.verdict(); crossed {
				return fmt.Errorf("port %s was handed a frame while it was still at another", s.name)
			}
		}
		return nil
	})
}
