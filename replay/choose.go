package replay

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// The words of [Analysis.Choose] that are no addresses.
const (
	AllServers = "all-servers"
	AllClients = "all-clients"
)

// Choose returns the addresses of a capture that a word stands for, in the order
// of their first frames:
//
//	10.0.0.2, fd00::2   that address, whether the capture has it or not
//	02:00:00:00:00:02   all addresses with that MAC (behind a router's there may be many)
//	all-servers         all that somebody opened a conversation to
//	all-clients         all that only open conversations
//
// A conversation between two servers has two live ends with all-servers, so it is
// not played. Addresses whose conversations cannot be replayed count as well. The
// error is [ErrNotInThere], or says that the word is none of these.
func (a *Analysis) Choose(word string) ([]netip.Addr, error) {
	if word == AllServers || word == AllClients {
		return a.role(word)
	}
	if addr, err := netip.ParseAddr(word); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	hw, err := net.ParseMAC(word)
	if err != nil || len(hw) != len(vswitch.MAC{}) {
		return nil, fmt.Errorf("%q is no address, MAC, %s or %s", word, AllServers, AllClients)
	}
	var found []netip.Addr
	for _, e := range a.Endpoints {
		if e.MAC == vswitch.MAC(hw) {
			found = append(found, e.Addr)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: no address in %s has the MAC %s", ErrNotInThere, a.Capture.Name, word)
	}
	return found, nil
}

// role returns the servers of a capture, or the clients.
func (a *Analysis) role(word string) ([]netip.Addr, error) {
	opens, accepts := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, c := range a.Conversations {
		opens[c.Ends[0].Addr()], accepts[c.Ends[1].Addr()] = true, true
	}
	var found []netip.Addr
	for _, e := range a.Endpoints {
		if word == AllServers && accepts[e.Addr] || word == AllClients && opens[e.Addr] && !accepts[e.Addr] {
			found = append(found, e.Addr)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s has none for %s", ErrNotInThere, a.Capture.Name, word)
	}
	return found, nil
}

// Others returns the addresses that talk to any of the given ones and are none of
// them: those that are live when these are played.
func (a *Analysis) Others(played []netip.Addr) (live []netip.Addr) {
	for _, e := range a.Endpoints {
		if slices.Contains(played, e.Addr) {
			continue
		}
		if slices.ContainsFunc(a.Conversations, func(c *Conversation) bool {
			return c.Ends[0].Addr() == e.Addr && slices.Contains(played, c.Ends[1].Addr()) ||
				c.Ends[1].Addr() == e.Addr && slices.Contains(played, c.Ends[0].Addr())
		}) {
			live = append(live, e.Addr)
		}
	}
	return live
}
