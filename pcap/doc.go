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
//   - [LiveRecorder] is the one for switches in real time: it writes from a goroutine of
//     its own, to several [Output]s: files and pipes ([ToFile], [ToWriter]), files that
//     follow each other ([Rotation]), streams to whoever joins ([Broadcaster]).
//   - [Meta] is the text in the section header that says what the run was.
//   - [Fate] is the form of the comments: what became of one frame.
//
// Reading:
//   - [Reader] gives the [Packet]s and [Interface]s of a capture, with byte offsets
//     and Wireshark's frame numbers; see below for what is read. Bad input ends in a
//     [*FormatError], a cut file in a [*TruncatedError].
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
// # What is read
//
// From a file, the standard input or a pipe, which are never sought in:
//
//   - pcapng of both byte orders, with any number of sections, interfaces, link types
//     and time resolutions (decimal, binary, seconds, offsets); enhanced, simple and
//     obsolete packet blocks. Other blocks are passed over and counted
//     ([Reader.OtherBlocks]); custom blocks and journal entries have frame numbers, as
//     in Wireshark.
//   - Classic pcap of both byte orders, in microseconds and nanoseconds, versions 2.0
//     to 2.4 and DG/UX's 543.0; the variants of Kuznetzov's patches (Red Hat 6.1, SuSE
//     6.3), Nokia, AIX and Ixia, where a variant that shares its magic number with the
//     standard is told by the first records that are at hand, as Wireshark does.
//   - All of them in gzip or zstd, also in several members or frames.
//
// Anything else is refused, by name if it is known: with the command that converts
// it. testdata/formats.golden shows what is made of which; tests hold it against
// tshark's reading.
//
// Frames of Ethernet, 802.1Q and 802.1ad, Linux cooked captures, raw IP and BSD
// loopback are decoded, those of other link types ([LinkTypeName]) are given as they
// are. An Ethernet frame check sequence that the file tells of ([Packet.FCSLen]) is in
// a packet's data and lengths, as in Wireshark, and not in its [Packet.Frame].
//
// Memory does not depend on what a file claims. A block or record has at most 16 MiB,
// and takes memory as its bytes arrive; of a file are kept at most 65,536 interfaces,
// as many sections, and 32 MiB of what these say; zstd gets a window of at most 32 MiB;
// and what is compressed may expand to 64 GiB.
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
// A capture that begins in the middle of a run (a further file of a [Rotation], a stream
// of a [Broadcaster]) looks the same; its Meta says after how many frames it begins and
// what held there, and it has the interfaces of those ports that were open. Statistics of
// ports that stay open at the end of a file say so ("open=1").
//
// Where a live recorder or a stream had no room for frames, the next packet of their
// sender has a drop count, and its statistics a comment, "vnr.recorder-lost=17"; these
// frames are among the interface's drops.
//
// All numbers in pcapng blocks are little-endian; times are UTC.
//
// Blocks are written by an encoder of this package: pcapgo's allocates for each
// option of a packet, and writes one comment into a section header and none into
// statistics. They are read with pcapgo through a scanner that lets only whole,
// sane blocks pass, and that decodes what pcapgo gets wrong; see scan.go.
package pcap
