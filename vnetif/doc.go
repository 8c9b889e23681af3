// Package vnetif puts endpoints on a software switch (package vswitch): hosts
// with a whole TCP/IP stack under ordinary blocking Go network code, and raw
// interfaces that send and receive Ethernet frames.
//
// # A map of the package
//
//   - [Host] is a host: a gVisor stack (ARP, IPv4, IPv6, ICMP, UDP, TCP) on a port.
//     Its [Host.Listen], [Host.DialContext] and [Host.ListenPacket] give
//     net.Listener, net.Conn and net.PacketConn, its [Host.Sleep],
//     [Host.AfterFunc] and [Host.WithTimeout] the time.
//   - [NewRouter] makes a host with interfaces on several switches that forwards
//     between them.
//   - [Raw] is a virtual network interface without a stack.
//   - [Backend] is what both are plugged into: a switch, or a type of the user's own;
//     package backendtest says whether that one keeps to the rules. [BasePort] is what
//     its ports can be made of.
//   - [DateHandler] makes net/http servers date their answers by the world's clock.
//
// # Time
//
// All waiting happens on the world's clock. A blocking call parks its goroutine
// until the world's loop has executed it; calls of all hosts are executed one at
// a time in a fixed order, so that a program of goroutines that share nothing
// but the network runs the same way every time.
//
// Deadlines (SetDeadline and its kin, and those of contexts given to
// DialContext) are read like this: one with a monotonic clock reading, as
// time.Now().Add(d) makes them, lies d after the world's now, where d is what
// remains of it, rounded up to two significant digits (set again on the same
// connection, it keeps its instant); one without a monotonic
// reading, as host.Now().Add(d) makes them, is an instant of the world's clock;
// instants before 1970-01-02 have passed in any case. So net/http's timeouts
// that are deadlines (ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout
// of a server) work unchanged.
//
// What waits in real time cannot be intercepted: time.Sleep, time.After,
// time.AfterFunc, tickers, context.WithTimeout, http.Client.Timeout,
// http.Transport.IdleConnTimeout, http.Server.Shutdown. A world that meets a
// goroutine in one of the first kind ends with an error that names the line.
//
// In a world in real time all of this is as with the net package: calls proceed on the
// goroutines that make them, deadlines are instants of the machine's clock, and the
// functions of package time may be used. What TCP sends is cut into frames of the port's
// MTU by the host's link, and what it receives is put together there, as network cards
// do; so the stack handles up to 64 kB at once, and every frame on the cable is one that
// a wire would carry.
//
// # Size
//
// An idle host takes about 135 KiB, a TCP connection between two hosts 50 KiB at both ends
// together; go test ./vnetif -run xxx -bench Scale -benchtime 1x measures it. A host's
// stack knows 512 neighbours at a time: when more ping it at one instant, only 64 of them
// are answered.
//
// # Names
//
// Dial and Listen take IP literals and names of the world's hosts. They never
// ask the operating system's resolver, files or environment; an unknown name is
// a *net.DNSError with IsNotFound.
//
// gVisor is imported by this package only.
package vnetif
