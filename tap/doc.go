// Package tap links a switch to the world outside of the process: to the kernel's
// own network, to virtual machines, to containers and to other machines.
//
// # A map of the package
//
//   - [Device] is such a link: whole Ethernet frames in batches, in both directions.
//     [Counting] and [Addressed] are what some can do besides.
//   - [Open] makes one out of a text, its spec; [Check] only reads the spec.
//   - [NewPipe] makes one out of any two byte streams.
//   - [Counters] are a device's books. Whatever does not get through is in them.
//   - Package taptest, beside this one, holds a device of any kind to the contract.
//
// # Specs
//
//	tap:NAME[,down][,mtu=N]                      a Linux TAP device
//	tap:fd=N[,mtu=N]                             one that is open already
//	packet:IFACE                                 an interface of this machine (Linux)
//	qemu:unix:PATH[,connect][,mtu=N]             QEMU's -netdev stream
//	qemu:tcp:HOST:PORT[,connect][,mtu=N]
//	qemu-dgram:local=ADDR[,remote=ADDR][,mtu=N]  QEMU's -netdev dgram
//	unixgram:PATH[,mtu=N]                        vfkit, Virtualization.framework
//	stdio:[mtu=N]                                standard input and output
//	vxlan:VNI@LOCAL[:PORT][,remote=ADDR[:PORT]]...[,mtu=N]
//
// A path has no comma in it. An IPv6 address with a port behind it stands in
// brackets. ADDR of qemu-dgram is unix:PATH or udp:HOST:PORT. An error of a spec is a
// [*SpecError], which knows the column. N of mtu is 68 to 65535, and 1500 where it
// is not given and the device does not know better.
//
// tap opens the device NAME, or makes it if there is none and the process may; what
// it made goes away with it. A device that root made for a user, by "ip tuntap add dev
// vnr0 mode tap user NAME", is that user's to open. It is set up, unless down is given.
// The frames are those of the kernel's interface of this name, which gets its
// addresses by "ip addr" as any other.
//
// packet is a second party on the interface: it gets what comes in from the wire, whoever
// it is addressed to, and sends onto the wire. It neither gets nor disturbs what the
// machine itself sends there, and the machine does not get what it sends.
//
// qemu listens (with connect, it dials until it succeeds) for
//
//	-netdev stream,id=n0,server=off,addr.type=unix,addr.path=PATH
//
// and has one peer at a time: another one is turned away while there is one. When the
// peer goes, the next may come; meanwhile the link is down. The framing is that of
// QEMU: each frame behind its length, four bytes, big-endian. A length of zero or of
// more than MaxFrame can only mean that sender and receiver are out of step: it costs
// the peer its connection. stdio speaks the same framing and ends with its peer.
//
// qemu-dgram and unixgram carry one frame in a datagram, without a head. Without a remote
// the peer is whoever sent last: a machine that restarts comes back from another address.
// The datagram "VFKT", with which vfkit introduces itself, is no frame and is not counted.
//
// vxlan is a tunnel end (VTEP) as in RFC 7348, over UDP from and to LOCAL, port 4789
// unless said otherwise. It learns behind which remote an address lives, and sends what it
// has not learned, and what is for a group, to all. With remotes given it listens to
// no others; without, it answers to whoever sends. Its MTU is that of the interface that
// has LOCAL, less 50 bytes (70 for IPv6), or 1450 where there is none.
//
// # What the kernel would leave out
//
// A kernel likes to hand on frames whose checksum is to be filled in by hardware, and frames
// of 64 kB that hardware would cut. In a recording both are lies. A TAP device is told
// that it can do neither, so that the kernel does it. A packet device cannot tell an interface
// that is not its own; it asks for what the kernel knows about each frame (PACKET_VNET_HDR)
// and does what hardware would: fills in checksums, cuts TCP and UDP super-frames, puts back
// the VLAN tag that the kernel took out. Super-frames in a tunnel it cannot cut; they
// are counted (Counters.RxOffload), and so is the rest that did not get through. Off
// they go by "ethtool -K IFACE gro off lro off" where they are received, and by
// "ethtool -K IFACE tso off gso off" where they are sent.
//
// # Systems
//
// tap and packet are Linux's. Everything else works wherever Go does, a datagram at a time
// instead of in batches, and stdio without Close ending a call that waits.
package tap
