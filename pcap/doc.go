// Package pcap reads any capture, records worlds to pcapng, and turns one such
// recording into every view of the run: who got which bytes when, what tcpdump
// on a host would have seen, whether the books balance, where two runs differ.
//
// # A map of the package
//
// Writing:
//   - [Recorder] is a vswitch.Recorder that writes each frame once, on its
//     sender's interface, with its whole fate in comments. [Create] makes one
//     for a file that appears under its name only when it is whole ([File]).
//   - [Meta] is the text in the section header that says what the run was.
//   - [Fate] is the form of the comments: what became of one frame.
//
// Reading:
//   - [Reader] gives the [Packet]s and [Interface]s of a pcapng or classic pcap
//     file, plain or gzip, with byte offsets and Wireshark's frame numbers.
//     Bad input ends in a [*FormatError], a cut file in a [*TruncatedError].
//     What is kept of a file is bounded: 65,536 interfaces and as many sections,
//     and 32 MiB of what these say.
//   - [Decode] and its relatives dissect frames; [Show] and [Fields] print them.
//
// Deriving, from a wire recording alone:
//   - [Deliveries] rebuilds what every receiver got; [Balance] counts it per
//     port and holds it against the counters in the file.
//   - [ViewAt], [ViewFull] and [Split] write it as further pcapng files.
//   - [Compare] finds the first difference between two recordings, to the bit of a
//     packet block.
//
// Changing:
//   - [Rewriter] maps addresses, ports and VLANs ([Mapping]) in a capture and keeps
//     all else of the file.
//
// # What a recording looks like
//
// One section. Its header holds the application "vnreplay" and one comment, the
// [Meta]; or several, where that exceeds 65,534 bytes (see [Meta.Marshal]). One
// Ethernet interface block per port, in order of connection, with nanoseconds, the
// port's name, and "mac=02:00:00:00:00:00 mtu=1500 latency=25us" ("rate=10000000
// queue=64" when the cable is limited) as its description. One enhanced packet
// block per frame: time of sending, direction outbound, the frame's number in the
// world as packet id, and a comment per clause of its [Fate]; a frame that simply
// went to the owner of its destination address, untouched, has no comment. One
// interface statistics block per port, where it was closed, with its counters;
// when the run ended before its time (a limit, a deadlock, an interrupt), a second
// comment there says why, in at most 1,000 bytes of printable text: "vnr.cut=time
// limit exceeded: …". Runs that ended in their time have none.
//
// All numbers in pcapng blocks are little-endian; times are UTC.
//
// Blocks are written by an encoder of this package: pcapgo's allocates for each
// option of a packet, and writes one comment into a section header and none into
// statistics. They are read with pcapgo through a scanner that lets only whole,
// sane blocks pass, and that decodes what pcapgo gets wrong; see scan.go.
package pcap
