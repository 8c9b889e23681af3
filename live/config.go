package live

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/faults"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Config describes a switch in real time.
type Config struct {
	// Hub makes it a hub; it is a learning switch otherwise.
	Hub bool
	// Seed is what the draws of rules depend on.
	Seed uint64
	// Ports, at least one, in the order of the recording's interfaces.
	Ports []Port
	// Faults are in force from the start.
	Faults []*faults.Rule
	// Recording is where the recording goes.
	Recording Recording
	// Limit ends the run by itself.
	Limit Limit
	// Notice, if not nil, is told in one line, once each, what happened to a port or to
	// an application while the others went on. It is called on a goroutine of the run's.
	Notice func(text string)
}

// Port is one port of the switch: a device or a host.
type Port struct {
	// PortConfig is the port and its cable. A device that is not named has the name of
	// its interface or socket; its MTU, where it is 0, and its address are the
	// device's, too, as far as that knows them.
	vswitch.PortConfig
	// Device is a spec of package tap.
	Device string
	// Host is there if Device is empty.
	Host *Host
}

// Host is a host with a TCP/IP stack of its own. Without an application it answers
// ARP, neighbour solicitations and ping.
type Host struct {
	Addrs    []netip.Prefix
	Gateways []netip.Addr
	Apps     []App
}

// App is an application of a host, with what to call it in messages.
type App struct {
	Name string
	apps.App
}

// Limit says when a run ends by itself. A zero field is no limit. Frames that enter
// while the run ends are recorded, too.
type Limit struct {
	Time   time.Duration
	Frames uint64
	Bytes  uint64 // of frames, with their Ethernet headers
}

// check says what is wrong before anything is opened.
func (cfg *Config) check() error {
	if len(cfg.Ports) == 0 {
		return errors.New("a switch without ports")
	}
	for i := range cfg.Ports {
		p := &cfg.Ports[i]
		switch {
		case (p.Device == "") == (p.Host == nil):
			return fmt.Errorf("port %d %q: want a device or a host", i+1, p.Name)
		}
	}
	return nil
}
