// Package replay plays one side of a captured conversation against a live
// stack: the addresses chosen as live get a host with a real TCP/IP stack, the
// addresses that talk to them are played from the capture, and what the live
// side says is compared with what the capture says it said.
//
// # A map of the package
//
// Reading a capture:
//   - [Load] reads a capture into memory, at most [MaxCaptureFrames] and
//     [MaxCaptureBytes] of it, and counts by reason, with frame numbers, what it cannot
//     use: link types that [pcap.DecodeLink] does not know, frames that are damaged,
//     captured too short, or received with errors. Reports name them too.
//   - Stamps that go back, jump or are missing are counted; time goes on from there.
//   - [Analysis.Ethernet] gives a frame of any link type an Ethernet header.
//   - [Analyse] finds endpoints and conversations in it, puts fragments together
//     and TCP streams in order, and says of each conversation whether it can be
//     replayed or why not. [Analysis.List] prints them.
//
// Replaying:
//   - [Run] builds a world in virtual time, plays, compares, and gives a [Report].
//   - A station is a played machine: a port of the switch that answers ARP and
//     neighbour solicitations for its addresses and hands frames to its peers.
//   - An [Outside] is a port to a live side that has a stack already; the replay then is
//     in real time, where callers take turns to enter the players (see below).
//   - A tcpPeer, or a datagramPeer (UDP and ICMP echo), plays one conversation:
//     an event-driven machine that the world's loop calls; it has no goroutine.
//   - A matcher compares streams and datagrams with what is captured, but for what
//     a [Mask] covers. A frameJudge compares frames.
//   - A watcher, a rule of the switch that changes nothing, sees what live hosts
//     send to addresses that nobody plays.
//   - [Transcript] is the default application of a live side: it says what a
//     capture says it said. Any func(context, host) can take its place.
//
// Feeding, open loop:
//   - [Feed] sends all frames of a capture from raw interfaces on a switch, at its
//     times or at a [Pace], and gives a [Fed].
//   - [Feeder] gives the frames with their deadlines, or sends them to any function
//     on a world's clock.
//   - [OpenSource] opens a capture that is read several times.
//   - In real time, a line reads the capture ahead and sends what is due; [FeedTo] is a
//     device that it goes to.
//
// # How a played side behaves
//
// It sends its captured segments, in order. Each waits until what it
// acknowledges (in bytes of the stream, SYN and FIN counted) has been received
// from the live side, and as long as in the capture after the one before it or, if
// that was later there, after the arrival of what it acknowledges. Numbers of the
// live side's (acknowledgements, timestamp echoes, an ephemeral port, an echo
// identifier) are mapped to those it uses now. The played side's own numbers stay
// as captured. It keeps within the live side's receive window.
//
// Segments that were lost in the capture's world are lost again. Those of the played
// side that a recording of this program says did not arrive are not sent. Of the
// live side's, the played side loses the first that has a byte where a lost one
// began: as a recording of this program says or, elsewhere, as the played side's
// SACK blocks and duplicate acknowledgements in the capture do (three segments
// beyond a gap, RFC 6675 and RFC 5681; what was merely reordered is not lost). So a
// live side has to retransmit where the captured one had to.
//
// Where the capture shows that a router, or the other end, told the live side that a
// segment of its was too big for the path (RFC 1191, RFC 8201), the path has that
// MTU from the same place of the stream on.
//
// Acknowledgements of a gap (duplicates, SACK blocks) are true of one order of
// segments only, so from the first gap of a connection on, the played side
// acknowledges what it has itself, as receivers do: every second segment at once,
// others after [StallDelay], and at once, with SACK blocks if both ends know them,
// what comes beyond a gap or fills it (RFC 5681, 4.2). Captured acknowledgements that
// say more than it has said are still sent, the others left out; windows stay as
// captured.
//
// A live side that segments differently may wait for an acknowledgement that
// the captured peer sent only later. Then the played side acknowledges what it
// has. If its next segment acknowledges that and more, this is the first part of
// a captured acknowledgement (ack-split), and comes as a receiver's would: after
// [SplitDelay] when two segments or more are there, else after [StallDelay].
// Others come after [StallDelay] when the next segment waits for the live side,
// and after [AckDelay] when it waits for its time. They are synthetic: counted,
// bounded, and, because a recording has no comment for them, named by their frame
// numbers in the report ([Report.SyntheticFrames]), with those of its own.
//
// If the live side does not send what is waited for within [Patience] of the world's
// time, that is a divergence.
//
// # What is compared
//
// Streams, not segments: the bytes each live side sends per connection, byte by
// byte, those that it sends again too; that it opens and accepts the connections,
// closes (FIN) and resets where the capture has it; that it acknowledges all that
// was played, or before a reset what it acknowledges there; its datagrams and echo
// replies one by one; that no answer comes before its request; that it sends
// nothing to addresses that nobody plays (even to look for their MAC) unless the
// capture shows it; and that nothing follows the last expected byte, datagram or
// connection, for [Linger] of the world's time. Bytes of the played side count as
// covered when they are acknowledged. Retransmissions of the live side and
// synthetic acknowledgements, with the played side's own, are bounded
// ([MaxRetransmits], [MaxSynthetic], [Budget]); so is time, where [Options.Within] or
// [Budget.Virtual] asks for it. Options, windows, urgent pointers, ECN bits
// and IP headers are not compared.
//
// [CompareFrames] adds the frames of the live side, field by field, in recordings of
// this program with the same seed; fields that differ from run to run are masked
// (field isn, field ip-id, field checksum, field timestamp, field mac, field
// flow-label, field ephemeral-port, field echo-id) and counted in [Report.Masked].
// [CompareNone] only plays.
//
// [Mask] leaves parts of what the live side says out: values of HTTP headers, and
// what an expression matches. The live side must have as many bytes there, since
// all numbers behind them would move otherwise, and what the mask accepts: a header
// value without a line end, something else that the expression matches. These are
// always masked, where both sides have a date:
//
//	http-date, http-last-modified, http-expires
//
// An answer, over TCP, is where the live side went on after both sides had
// received all that was sent. Before its first byte it must have received the
// first byte of the request again, and before its last byte all that it had
// acknowledged with the answer. Where it got a part of the request, and 20 ms or
// more later another, it must have received all that before the first byte: a live
// side that answers requests in a row faster than that would be taken for one that
// does not wait for their end. Bytes that were under way in both directions at once
// may be independent of each other, and so may be a whole conversation from another.
//
// What differs without harm is counted by name in [Report.Normalised]:
//
//	isn                   another initial sequence number
//	ephemeral-port        another port of a live client
//	connection-order      connections that a live client opened in another order, told apart by their first bytes
//	echo-id               another identifier of a live sender of pings
//	mss                   another maximum segment size
//	window                another receive window, as the SYN says
//	delayed-ack           an acknowledgement of the live side without anything else, more or less than in the capture
//	tcp-options           timestamps, SACK or window scaling offered, or not
//	segmentation          a segment of the live side with other bounds
//	ack-moved             a played acknowledgement in the middle of such a segment, moved to its end
//	ack-merged            one that thereby became equal to the one before, and was left out
//	ack-split             a played acknowledgement, said in parts as the bytes came
//	ack-apart             one that the capture has on a segment that is not new this time
//	ack-gap               one of a gap (a duplicate, SACK blocks) that is not there now, left out
//	ack-own               one that the played side made of what it had itself, after a gap
//	live-loss             a segment of the live side, lost as one was in the capture
//	live-checksum         a frame of the live side with a wrong checksum, which no receiver takes
//	path-mtu              one that is too big for its path as in the capture, lost and answered with ICMP
//	played-retransmission a segment that was lost in the capture's world, played again
//	late-syn              an answer to a SYN that was played again after the end
//	super-segment         a played segment bigger than the MTU (offload), cut
//	open-order            a connection or first datagram of the live side before one that is earlier in the capture, by its port
//	dns-id                another ID of a query of the live side
//	dns-retry             a query more or less than in the capture that repeats one
//	vlan                  a played frame's VLAN tags, left out (see below)
//	datagram-order        datagrams of the live side in another order (the report says so in a line of its own)
//	unanswered-echo       an echo reply to a request that has none in the capture
//	answer-again          an answer once more, to a question that stands in the capture twice
//	unreachable-again     one more error that a port is unreachable, of those that the captured host spared
//	unfilled-checksum     a played frame whose checksum was left to the network card, filled in
//	closed-after-capture  a close after the last captured byte of a connection still open then
//	reset-after-close     a reset by a live side that had closed and acknowledged all that it acknowledges in the capture
//
// Keepalives, window updates and times are not looked at, so not counted.
//
// # Real time
//
// A live address [Outside] is looked for by ARP or neighbour discovery, from a played
// address that talks to it, before anything is played ([ErrNoAnswer]); its MAC is its own,
// not the capture's. Sequence numbers and timestamps of the played side are those of the
// capture plus a number that grows with the clock: a kernel that has a connection of the
// last run in TIME-WAIT takes a SYN only if these are higher (RFC 6191). What comes from the
// port and is not from a live address to a played one belongs to nobody and is no
// divergence, since a kernel has affairs of its own; it is counted ([Report.Other]). A frame that
// a timer is late for counts as sent when it was due.
//
// # What a report says
//
// [Report.Print] writes at most 40 lines: the verdict, and for the first divergence
// where it is in the capture and in the replay, the frames around it in both, side by
// side, 32 bytes with those that differ marked, what stands there if it is HTTP, TLS
// or DNS, and a hint where a cause is known. Divergences that follow may be
// consequences and are listed in short. Frames in no conversation, of other protocols,
// say, are counted in a note, but for what every capture has: ARP, neighbour discovery,
// and what goes to everybody.
//
// [Diff] compares two captures in the same way, without playing.
//
// # VLANs
//
// A live host's frames bear the VLAN tags that they bear in the capture, played
// frames theirs; ARP and neighbour discovery are tagged alike. A live host has the
// priority of its first frame throughout. If its VLANs differ from frame to frame,
// as a router's on a trunk do, it has none, nor have the frames that are played to it.
//
// # What a capture must have
//
// The SYN of a TCP connection, without data, the answer to it, and every byte that
// was acknowledged or that others follow, unless the receiver asks for it again; whole
// datagrams. Connections that were open when the capture
// began have none of the first. Otherwise [Conversation.Reason] says what is
// missing. Frames with wrong checksums count only where nothing else brings
// their bytes. A file that is cut, or has frames captured too short to tell whose they
// are, is a part of what there was: the verdict is [Partial] at best.
package replay
