// Iperf sends a gigabyte from one TCP/IP stack to another over a switch, in memory, and
// says each second how much has arrived. In real time that is how fast stacks, switch
// and machine are; with -virtual the stacks hang at cables of 1 Gbit/s and the seconds
// are those of the world's clock, so that the output is the same on every machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

func main() {
	bytes := flag.Int64("bytes", 1_000_000_000, "how many bytes to send")
	virtual := flag.Bool("virtual", false, "in virtual time, over cables of 1 Gbit/s")
	flag.Parse()
	if err := iperf(os.Stdout, *bytes, *virtual); err != nil {
		fmt.Fprintln(os.Stderr, "iperf:", err)
		os.Exit(1)
	}
}

// iperf sends so many bytes and writes the rates.
func iperf(w io.Writer, amount int64, virtual bool) error {
	port := vswitch.PortConfig{}
	if virtual {
		port = vswitch.PortConfig{Rate: 1_000_000_000}
	}
	world := vswitch.NewWorld(vswitch.Config{RealTime: !virtual, WallLimit: 10 * time.Minute})
	defer world.Close()
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		return err
	}
	var hosts [2]*vnetif.Host
	for i, name := range []string{"client", "server"} {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
		hosts[i], err = vnetif.NewHost(sw, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}, Port: port})
		if err != nil {
			return err
		}
	}
	client, server := hosts[0], hosts[1]
	listener, err := server.Listen("tcp", ":5001")
	if err != nil {
		return err
	}
	world.Go("server", func(context.Context) error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		received, err := receive(w, conn, world.Now)
		if err == nil && received != amount {
			err = fmt.Errorf("%d bytes arrived of %d", received, amount)
		}
		return err
	})
	return world.Run(context.Background(), func(ctx context.Context) error {
		conn, err := client.DialContext(ctx, "tcp", "server:5001")
		if err != nil {
			return err
		}
		block := make([]byte, 64<<10)
		for left := amount; left > 0; {
			n, err := conn.Write(block[:min(left, int64(len(block)))])
			if err != nil {
				return errors.Join(err, conn.Close())
			}
			left -= int64(n)
		}
		return conn.Close()
	})
}

// receive reads to the end, and writes what came in each second, and in all.
func receive(w io.Writer, conn io.Reader, now func() time.Time) (total int64, err error) {
	var (
		start = now()
		last  = start
		since int64 // bytes, since last
		buf   = make([]byte, 256<<10)
	)
	say := func(from, to time.Time, bytes int64) {
		took := max(to.Sub(from), time.Nanosecond)
		_, failed := fmt.Fprintf(w, "%6.2f - %6.2f s  %8.1f MB  %9.1f Mbit/s\n", from.Sub(start).Seconds(), to.Sub(start).Seconds(),
			float64(bytes)/1e6, float64(bytes)*8/1e6/took.Seconds())
		err = errors.Join(err, failed)
	}
	for {
		n, rerr := conn.Read(buf)
		total += int64(n)
		since += int64(n)
		t := now()
		switch {
		case rerr == io.EOF:
			say(start, t, total)
			return total, err
		case rerr != nil:
			return total, rerr
		case t.Sub(last) >= time.Second:
			say(last, t, since)
			last, since = t, 0
		}
	}
}
