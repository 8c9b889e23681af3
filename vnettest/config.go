package vnettest

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// Config describes a network. The zero value is a client and a server on one
// switch.
type Config struct {
	// Seed is where all randomness of the run comes from: the same seed hits the
	// same frames. The flag -vnettest.seed overrides it.
	Seed uint64

	// Hosts are the hosts, in order of creation. Default: Hosts("client", "server").
	Hosts []Host

	// Switches are several switches, in order of creation, each with a recording of its
	// own. None: there is one, called "switch".
	Switches []Switch

	// Routers forward between the switches. They are hosts, too.
	Routers []Router

	// Faults are fault rules in the language of package faults:
	// "loss: drop 2% from server".
	Faults []string

	// MayMiss names rules of Faults that need not meet a frame, by their name, or
	// by their text where they have none. Any other that never did fails the test.
	MayMiss []string

	// Golden is the path of a recording that this run must be equal to, frame by
	// frame, in a process of its own; "" for none. See the package comment of when
	// that is not checked. Relative paths start in the directory of the test's
	// package: "testdata/handshake.pcapng". With several switches it stands for one
	// recording of each: "testdata/handshake.lan.pcapng" and so on.
	Golden string

	// Hub makes the only switch a hub: every frame goes to every host.
	Hub bool

	// Start is the instant at which the virtual clock starts. Default
	// vswitch.DefaultStart.
	Start time.Time

	// Limit ends the run with an error after so much virtual time, WallLimit after
	// so much real time. Defaults: vswitch.DefaultLimit and vswitch.DefaultWallLimit,
	// an hour and a minute.
	Limit, WallLimit time.Duration
}

// Host is a host and its cable to the switch.
type Host struct {
	// Name is how other hosts dial it, and how rules and recordings call it.
	Name string

	// Switch is the name of its switch, where there are several.
	Switch string

	// Addrs are its addresses with the lengths of their networks' prefixes. Default
	// for the first host: 10.0.0.1/24 and fd00::1/64, for the second 10.0.0.2/24
	// and fd00::2/64, and so on.
	Addrs []string

	// Gateways are next hops for what is on no network of Addrs, at most one for
	// IPv4 and one for IPv6.
	Gateways []string

	// MAC is its Ethernet address. Default: vswitch.PortMAC of its place, from 0.
	MAC string

	// Latency is what the cable adds, one way. A frame takes the sender's and the
	// receiver's. Default 25µs.
	Latency time.Duration

	// Rate limits the cable in each direction, in bits per second: 10 * Mbit.
	// 0: no limit.
	Rate int64

	// Queue is how many frames may wait for a cable of limited rate. Default 1000.
	Queue int

	// MTU is the largest payload behind the Ethernet header, in bytes. Default 1500.
	MTU int
}

// Units of Host.Rate, in bits per second.
const (
	Kbit = 1_000
	Mbit = 1_000_000
	Gbit = 1_000_000_000
)

// Hosts returns hosts with these names and everything else by default.
func Hosts(names ...string) []Host {
	hosts := make([]Host, len(names))
	for i, name := range names {
		hosts[i].Name = name
	}
	return hosts
}

// maxAssigned is the last host that gets addresses by its place: what 10.0.0.0/24
// has room for.
const maxAssigned = 254

// config turns the host, which is number i from 0, into what package vnetif needs.
func (h *Host) config(i int) (vnetif.HostConfig, error) {
	fail := func(err error) (vnetif.HostConfig, error) {
		return vnetif.HostConfig{}, fmt.Errorf("host %q (Config.Hosts[%d]): %w", h.Name, i, err)
	}
	cfg := vnetif.HostConfig{Name: h.Name}
	var err error
	switch {
	case h.Name == "":
		return fail(errors.New("it needs a Name"))
	case len(h.Addrs) > 0:
	case i >= maxAssigned:
		return fail(fmt.Errorf("only the first %d hosts get addresses by their place; give it Addrs", maxAssigned))
	default:
		cfg.Addrs = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i + 1)}), 64),
		}
	}
	if len(h.Addrs) > 0 {
		if cfg.Addrs, err = parseAddrs(h.Addrs); err != nil {
			return fail(err)
		}
	}
	if cfg.Gateways, err = parseGateways(h.Gateways); err != nil {
		return fail(err)
	}
	if cfg.Port, err = portConfig(h.MAC, vswitch.PortConfig{MTU: h.MTU, Latency: h.Latency, Rate: h.Rate, Queue: h.Queue}); err != nil {
		return fail(err)
	}
	return cfg, nil
}

func parseAddrs(texts []string) (addrs []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("address %q: want one with the length of its network's prefix, such as 10.0.0.1/24 or fd00::1/64", text)
		}
		addrs = append(addrs, p)
	}
	return addrs, nil
}

func parseGateways(texts []string) (addrs []netip.Addr, err error) {
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("gateway %q: want an IP address, such as 10.0.0.254", text)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// portConfig fills in a port's address, if there is one.
func portConfig(mac string, cfg vswitch.PortConfig) (vswitch.PortConfig, error) {
	if mac == "" {
		return cfg, nil
	}
	var err error
	cfg.MAC, err = vswitch.ParseMAC(mac)
	return cfg, err
}

// hostConfigs are the configurations of all hosts.
func (c *Config) hostConfigs() ([]vnetif.HostConfig, error) {
	if len(c.Hosts) == 0 {
		c.Hosts = Hosts("client", "server")
	}
	var all []vnetif.HostConfig
	for i := range c.Hosts {
		cfg, err := c.Hosts[i].config(i)
		if err != nil {
			return nil, err
		}
		all = append(all, cfg)
	}
	return all, nil
}

// owners are who has which address. No two may have one in common: their frames would go
// now to one and now to the other.
type owners map[netip.Addr]string

func (o owners) add(name string, addrs []netip.Prefix) error {
	for _, p := range addrs {
		if other, taken := o[p.Addr()]; taken {
			return fmt.Errorf("hosts %q and %q both have the address %v", other, name, p.Addr())
		}
		o[p.Addr()] = name
	}
	return nil
}
