package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
)

// cables are the devices of one command, by their specs.
type cables struct {
	list []*cable
	// failed is called with the errors of devices while the command runs.
	failed context.CancelCauseFunc
}

// cable is a device, and how it is plugged into a switch.
type cable struct {
	all   *cables
	spec  string
	dev   tap.Device
	watch sync.WaitGroup
}

// open opens the device that a spec describes, once. what is the flag.
func (a *cables) open(what, spec string) (*cable, error) {
	for _, c := range a.list {
		if c.spec == spec {
			return c, nil
		}
	}
	if strings.HasPrefix(spec, "stdio:") {
		return nil, usage("%s: %s is the standard output, where the report goes", what, spec)
	}
	dev, err := tap.Open(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	c := &cable{all: a, spec: spec, dev: dev}
	a.list = append(a.list, c)
	return c, nil
}

// close lets go of all devices. Calls that wait for them return.
func (a *cables) close() {
	for _, c := range a.list {
		c.dev.Close()
	}
	for _, c := range a.list {
		c.watch.Wait()
	}
}

// connect plugs the device into a switch, with its own address and MTU.
func (c *cable) connect(sw *vswitch.Switch, cfg vswitch.PortConfig) (*vswitch.Port, error) {
	link, err := tap.Connect(sw, cfg, c.dev)
	if err != nil {
		return nil, err
	}
	c.watch.Go(func() {
		<-link.Done()
		if err := link.Err(); err != nil {
			c.all.failed(err)
		}
	})
	return link.Port(), nil
}

// lost says what devices did not get through, a line each, "" for nothing.
func (a *cables) lost() (lines []string) {
	for _, c := range a.list {
		counting, ok := c.dev.(tap.Counting)
		if !ok {
			continue
		}
		k := counting.Counters()
		for _, x := range []struct {
			n    uint64
			what string
		}{
			{k.TxInvalid, "to %s not sent: too short or longer than its MTU"},
			{k.TxDown, "to %s not sent: it was down, or nobody was connected"},
			{k.TxDropped, "to %s not sent: the system had no room for them"},
			{k.RxOversize, "from %s lost: too long"},
			{k.RxMalformed, "from %s lost: no frames"},
			{k.RxOffload, "from %s lost: super-frames that cannot be cut; turn GRO and LRO off"},
			{k.RxDropped, "from %s lost: the system did not keep them until they were read"},
		} {
			if x.n > 0 {
				lines = append(lines, count(x.n, "frame")+" "+fmt.Sprintf(x.what, c.spec))
			}
		}
	}
	return lines
}
