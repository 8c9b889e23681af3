package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vnreplay/vnreplay/internal/bench"
)

// needTools skips what needs a tool that is not installed.
func needTools(tools ...string) error {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return bench.Skip("no %s: install it (apt-get install iproute2 iperf3 ethtool tcpdump wireshark-common tcpreplay)", tool)
		}
	}
	return nil
}

// namespaces are network namespaces that a measurement makes for itself. Nothing
// in them has a way out.
type namespaces struct {
	names []string
}

var namespaceCount atomic.Int64

// newNamespaces makes so many namespaces, without IPv6, whose routers would speak
// unasked.
func newNamespaces(ctx context.Context, n int) (*namespaces, error) {
	if err := needTools("ip"); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, bench.Skip("network namespaces need root: run it with sudo")
	}
	ns := &namespaces{}
	for range n {
		name := fmt.Sprintf("vnrbench-%d-%d", os.Getpid(), namespaceCount.Add(1))
		if err := command(ctx, "ip", "netns", "add", name); err != nil {
			return nil, errors.Join(bench.Skip("no network namespace can be made: %v", err), ns.close())
		}
		ns.names = append(ns.names, name)
		quiet := "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$f; done; ip link set lo up"
		if err := ns.run(ctx, len(ns.names)-1, "sh", "-c", quiet); err != nil {
			return nil, errors.Join(err, ns.close())
		}
	}
	return ns, nil
}

// close removes the namespaces, and with them all devices in them.
func (ns *namespaces) close() error {
	var errs []error
	for _, name := range ns.names {
		errs = append(errs, command(context.Background(), "ip", "netns", "del", name))
	}
	ns.names = nil
	return errors.Join(errs...)
}

// command returns a command that runs in the i-th namespace.
func (ns *namespaces) command(ctx context.Context, i int, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns.names[i], name}, args...)...)
}

// run runs a command in the i-th namespace.
func (ns *namespaces) run(ctx context.Context, i int, name string, args ...string) error {
	return finish(ns.command(ctx, i, name, args...))
}

// veth makes a pair of devices, one end in the i-th namespace, the other in the
// k-th, both up, with checksums and segments made in software, so that the frames
// on them are what a wire would carry.
func (ns *namespaces) veth(ctx context.Context, i int, a string, k int, b string) error {
	if err := needTools("ethtool"); err != nil {
		return err
	}
	err := command(ctx, "ip", "link", "add", a, "netns", ns.names[i], "type", "veth", "peer", "name", b, "netns", ns.names[k])
	for _, end := range []struct {
		ns   int
		name string
	}{{i, a}, {k, b}} {
		err = errors.Join(err,
			ns.run(ctx, end.ns, "ethtool", "-K", end.name, "tx", "off", "tso", "off", "gso", "off", "gro", "off"),
			ns.run(ctx, end.ns, "ip", "link", "set", end.name, "up"))
	}
	return err
}

// received is how many frames a device in the i-th namespace has received.
func (ns *namespaces) received(ctx context.Context, i int, dev string) (uint64, error) {
	out, err := exec.CommandContext(ctx, "ip", "-n", ns.names[i], "-s", "-j", "link", "show", "dev", dev).Output()
	if err != nil {
		return 0, fmt.Errorf("ip -s link show %s: %w", dev, err)
	}
	var links []struct {
		Stats struct {
			RX struct {
				Packets uint64 `json:"packets"`
			} `json:"rx"`
		} `json:"stats64"`
	}
	if err := json.Unmarshal(out, &links); err != nil || len(links) != 1 {
		return 0, fmt.Errorf("ip -s -j link show %s printed %q, which was not understood", dev, out)
	}
	return links[0].Stats.RX.Packets, nil
}

// within calls fn on a thread that is in the i-th namespace. Sockets that fn opens
// stay there.
func (ns *namespaces) within(i int, fn func() error) error {
	errs := make(chan error)
	go func() {
		// The thread ends with the goroutine, which does not unlock it.
		runtime.LockOSThread()
		file, err := os.Open("/run/netns/" + ns.names[i])
		if err != nil {
			errs <- err
			return
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			errs <- os.NewSyscallError("setns", err)
			return
		}
		errs <- fn()
	}()
	return <-errs
}

// command runs a command.
func command(ctx context.Context, name string, args ...string) error {
	return finish(exec.CommandContext(ctx, name, args...))
}

// finish runs a command to its end. The error has what it said.
func finish(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	return explain(cmd, cmd.Run(), said.String())
}

// explain adds to a command's error which command it was, and what it said.
func explain(cmd *exec.Cmd, err error, said string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(said))
}
