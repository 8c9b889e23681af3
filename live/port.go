package live

import (
	"context"
	"fmt"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
	"github.com/vnreplay/vnreplay/vnetif"
)

// port is a port of the switch and what hangs at it.
type port struct {
	cfg  *Port
	dev  tap.Device // of a device
	link *tap.Link  // of a device, when it is connected
	port *vswitch.Port
	apps []*app // of a host

	seen tap.Counters // when they were last looked at
	gone bool         // the device ended, and that was told
}

// app is an application of a host while it runs.
type app struct {
	App
	host string
}

// openPort opens the device of a port.
func openPort(cfg *Port) (*port, error) {
	p := &port{cfg: cfg}
	if cfg.Device == "" {
		return p, nil
	}
	dev, err := tap.Open(cfg.Device)
	if err != nil {
		return nil, fmt.Errorf("port %w", err)
	}
	if cfg.Name == "" {
		cfg.Name = dev.Name()
	}
	p.dev = dev
	return p, nil
}

// connect plugs the port into the switch.
func (p *port) connect(s *Switch) (err error) {
	if p.dev != nil {
		if p.link, err = tap.Connect(s.sw, p.cfg.PortConfig, p.dev); err != nil {
			return fmt.Errorf("port %w", err)
		}
		p.port = p.link.Port()
		return nil
	}
	h, err := vnetif.NewHost(s.sw, vnetif.HostConfig{
		Name: p.cfg.Name, Addrs: p.cfg.Host.Addrs, Gateways: p.cfg.Host.Gateways, Port: p.cfg.PortConfig,
	})
	if err != nil {
		return err
	}
	p.port = h.Port()
	for _, a := range p.cfg.Host.Apps {
		p.apps = append(p.apps, &app{a, p.cfg.Name})
		s.world.Background(p.cfg.Name+" "+a.Name, func(ctx context.Context) error {
			err := a.Run(ctx, h)
			if err != nil && !s.over(err) {
				s.notice("port %s: %s ended: %v", p.cfg.Name, a.Name, err)
			}
			return nil // the others go on
		})
	}
	return nil
}

// close lets go of the device.
func (p *port) close() {
	if p.link != nil {
		p.link.Close()
	} else if p.dev != nil {
		p.dev.Close()
	}
}

// counters are the device's books.
func (p *port) counters() tap.Counters {
	if c, ok := p.dev.(tap.Counting); ok {
		return c.Counters()
	}
	return tap.Counters{}
}

// lookEvery is how often the run looks for devices and peers that went away.
const lookEvery = 200 * time.Millisecond

// observe tells of devices that end and of peers that go, until the run ends.
func (s *Switch) observe() {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-look.C:
			for _, p := range s.ports {
				s.look(p)
			}
		}
	}
}

// look tells what happened to one port since it was last looked at.
func (s *Switch) look(p *port) {
	if p.link == nil || p.gone {
		return
	}
	now := p.counters()
	if now.Disconnects > p.seen.Disconnects {
		s.notice("port %s: its peer went away; another one may come", p.cfg.Name)
	}
	p.seen = now
	select {
	case <-p.link.Done():
		if err := p.link.Err(); err != nil && s.ctx.Err() == nil {
			p.gone = true
			s.notice("port %s went away: %v", p.cfg.Name, err)
		}
	default:
	}
}
