// Package faults is the rules by which a switch loses, copies, damages, delays and
// reorders frames, and the language they are written in: one for the command line,
// for scenario files and for Go, which prints back what it read.
//
//	loss: drop 2% to server
//	drop nth 3,17..19 from client if "tcp port 80"
//	drop gemodel 1% 25% from server during 1s..4s
//	duplicate 0.5% copies 2 gap 1ms from client
//	corrupt nth 4 set tcp.window=0 fixsum from server to client
//	delay 40ms jitter 10ms normal corr 25% from server
//	reorder 5% behind 3 to client if "greater 1000"
//	rate 10mbit burst 16kB queue 64p from server
//	partition client -> server for 1s after 1MB
//	mtu 1400 error from client
//
// # A map of the package
//
//   - [Parse] reads a rule ([Rule]); a [SyntaxError] says where it is wrong.
//     [ParseAll] reads the rules of a scenario.
//   - [Install] puts rules on a switch, before a run or during it. An [Installed]
//     rule counts what it did, and can be turned off, on and removed.
//   - [Rule.Compile] makes a [vswitch.Rule] of one rule, for who wants to ask it.
//   - [Explain] says in words what rules do, and at which stage of a frame's way;
//     [Stages] is the picture alone.
//   - [Extract] turns what was done in a run into rules that do just that again.
//
// # The language
//
//	[name:] WHAT [HOW-OFTEN] [options] [WHERE] [WHEN]
//
// Words are separated by white space; case matters. The name and what come first,
// the rest in any order, each at most once. A name has letters, digits, - and _,
// and is not a word of the language. What is not understood is an error that names
// the column, the word and what can stand there.
//
// WHAT is one of
//
//	drop                      the frame is lost
//	duplicate                 it arrives once more
//	    copies N              ... N times more (1 to 1000)
//	    gap TIME              each copy so much after the one before (0s to 1h)
//	corrupt                   one random bit of it is flipped; see below
//	    bits N                ... N different bits (1 to 1000)
//	    in A..B               ... of these bytes, both ends included (A.. to the end)
//	    @OFFSET:OLD>NEW       or exactly these bytes change, in hexadecimal
//	    set FIELD=VALUE       or fields get a value,
//	    flip FIELD[=MASK]     their bits (those of the mask) are flipped,
//	    add FIELD=N           a number is added to them
//	    fixsum                and checksums are made right again
//	truncate to SIZE          it is cut to so many bytes, Ethernet header included
//	pad SIZE                  so many zero bytes follow it where it arrives: 4B, or
//	                          0..9B for each number from 0 to 9 as likely as another
//	delay TIME                it arrives so much later (to 1h); others may overtake it
//	    jitter TIME [DIST]    ... give or take: uniform (the default; at most so much),
//	                          normal, pareto, paretonormal (so much is one standard
//	                          deviation), or table FILE or VALUES, as netem has them
//	    corr P                ... each one's draw correlated with the one before
//	    places N:TIME,...     or each frame by its place and with its own time
//	reorder                   it is held until others have passed it
//	    behind N              ... N later ones of its path (default 1)
//	    within TIME           ... but no longer (default 1s)
//	    ahead TIME            or it passes the others: they are that late
//	    jitter TIME [DIST]    ... as for delay
//	    gap N                 ... and only each Nth frame since the last can pass
//	rate RATE                 the cable carries so much: bit, kbit, mbit, gbit, tbit
//	    burst SIZE            ... and so much at once after a pause (default 0B)
//	    queue LIMITS          so much may wait, more is lost at the tail: 64p,
//	                          96kB, or 64p,96kB (default 1000p)
//	partition A -> B          what goes from ports A to ports B is lost: a,b -> c,d;
//	                          A <-> B both ways; A alone, to and from all others
//	mtu BYTES                 what is longer, behind the Ethernet header and a VLAN
//	                          tag, is lost
//	    error                 ... or refused inside the sender's write
//	down PORT                 the port's cable is down, both ways
//	up PORT                   it is down but for WHEN
//
// HOW-OFTEN is one of these; rate, partition, mtu, down and up have none.
//
//	(nothing)                 every frame
//	2%  0.5‰  1/50            each frame with this probability, independently
//	2% corr 25%               ... or with draws that are correlated, as in netem
//	nth 3,17..19,40..         the 3rd, the 17th to 19th, all from the 40th
//	every 10                  the 10th, the 20th ...
//	first 5                   the first five
//	gemodel P [R [1-H [1-K]]] in bursts, Gilbert's and Elliott's, as in netem: from
//	                          good to bad with P after each frame, back with R
//	                          (default 1-P); in the bad state a frame is hit with
//	                          1-H (default 100%), in the good one with 1-K (default 0%)
//	markov [NAME] STATE=P ... FROM>TO=P ... [step TIME]
//	                          in bursts of any number of named states, the first one
//	                          first: how often in each, and from which to which after
//	                          each frame, or each TIME (at least 1ms)
//
// Probabilities are exact ratios, to be written with a unit or as a fraction.
// Times have one of the units ns, us, ms, s, m, h; sizes B, kB, MB, GB (powers of
// a thousand), KiB, MiB, GiB; rates are in bits per second.
//
// WHERE and WHEN are
//
//	on SWITCH                 on which switch, where there are several
//	from PORT, to PORT        whose cable; see below
//	vlan ID                   frames whose outer tag has this VLAN identifier
//	if "EXPRESSION"           frames that a tcpdump filter matches; see package filter.
//	                          With "vlan" it is about what is behind the tag
//	during 1s..4s,6s..        virtual time since the start of the run; the end not included
//	after TIME|N frames|SIZE  from then on, or when so much of what the rule is about
//	                          has passed, the frame that completes it not included
//	for TIME                  ... and only so long
//	until TIME|N frames|SIZE  before that, the frame that completes it included
//	off                       not before somebody turns it on ([Installed].SetOn, or
//	                          a scenario's script)
//
// # Whose cable
//
// A frame passes two cables, its sender's and its receiver's. A rule is about one
// of them:
//
//	(nothing)       each sender's cable
//	from X          X's cable, for the frames that X sends
//	to Y            Y's cable, for the frames that are forwarded to Y
//	from X to Y     Y's cable, for the frames that X sent
//	to all          the cable of each receiver
//
// Where a world has several switches, a rule that names ports is on the switch that has
// them all, and one that names none is on each; "on X" is on switch X only. It has the
// same number on all of them ([InstallAll]), and draws and counts on each by itself.
//
// What happens on the sender's cable happens to all receivers at once; of a
// flooded frame each receiver's cable is decided by itself. Rules see every frame
// as it was sent, also those that another rule loses; the effects then compose in
// the order of the rules ([Stages] has the picture; [vswitch.Verdict] says how).
// Copies are not judged again. Frames that a full queue or a pulled cable of the
// port itself keeps from entering the switch are neither seen nor counted.
//
// nth, every, first, places, chains, correlations and "ahead" go by the frames of
// each path by itself: a path is a sender, or a sender and a receiver for a rule
// with "to". "drop first 1" loses the first frame of every sender. Frames of any
// kind are counted, ARP and neighbour discovery among them: the first frame of a
// conversation is seldom its SYN. They count while the rule is in force; what
// "after" and "until" count, they count all the time and over all paths, each
// frame once.
//
// A rate belongs to a cable: those who send over one share it. It goes by the
// instant at which frames are sent, before all delays, and counts those that
// other rules lose: they were on the cable.
//
// # Draws
//
// A random decision is a pure function of the seed, the rule, the path (by the
// names of the switch and its ports), the flow to which the frame belongs (one
// way: addresses, protocol, ports) and the frame's place in that flow among those
// which WHERE matches. Nothing else enters, no state is shared: other rules and
// other flows can come and go without changing which frames of this flow are hit,
// and another WHEN, or turning the rule off and on, does not either. The rule enters with its name, if it has one,
// so that a changed probability deals from the same cards: with 3% all victims of
// 2% are hit, and some more. A rule without a name enters with its normal form and
// a number that tells equal ones apart. A rule that is removed and installed again
// starts afresh.
//
// The draws of a chain go by the frame's place on its path instead (with "step",
// by the number of the step: the chain is then a function of time alone, and
// begins again in its first state every 1,048,576 steps). Rules whose chains have
// the same name and the same text are in the same states on the same path: so each
// state can have its own loss, its own delay and so on, by a rule each. What is
// correlated depends on the frame before on the path, of whatever flow.
//
// Fragments but the first have no ports: they are a flow of their own. A rule
// counts up to 65,536 flows apart, in at most about 10 MiB; those that appear later
// share one counter on their path, so that one of them can re-deal another.
//
// # Corruption
//
// Random bits are chosen anywhere behind the Ethernet header and its VLAN tags,
// so that the frame still reaches its receiver, which then has to notice. (Linux's
// netem flips one bit anywhere in the frame.) With "in 20..39" they are chosen
// among those bytes, counted from the first byte of the Ethernet header, which can
// be a part of that header too; a frame that ends in the range has fewer bytes to
// choose from. A frame without any such byte is not changed.
//
// Exact bytes are counted from the first byte of the Ethernet header, as
// Wireshark's bytes pane shows them, and can be anywhere in the frame: changed
// addresses on the sender's cable change where the switch forwards it.
//
//	@66:4f>4e      where byte 66 is 4f it becomes 4e; other frames are left alone
//	@66=4e         byte 66 becomes 4e
//	@66^01         the lowest bit of byte 66 is flipped
//	@66:4f>4e,@70=0000
//
// A frame that is too short for one of the changes, or has not the old bytes, is
// not changed at all. [Installed.Unfit] counts what a rule hit in vain.
//
// Fields have the names of Wireshark's display filters, and some shorter ones
// (tcp.window, ip.df) that are printed as those:
//
//	corrupt set ip.ttl=1 fixsum
//	corrupt nth 4 set tcp.window=0,tcp.flags=ACK from server
//	corrupt flip tcp.flags=SYN|FIN       corrupt flip ip.df
//	corrupt add tcp.seq=-1 fixsum
//
// There are those of eth, vlan (the outermost tag), arp, ip (version 4), ipv6,
// tcp with its options mss_val, wscale.shift and timestamp, udp, icmp, icmpv6,
// sctp and igmp; an error for an unknown name lists the protocol's fields. Those of
// transport protocols are found behind IPv4, behind IPv6 with extension headers,
// behind VLAN tags and in first fragments. A value is a number, in decimal or as
// 0x and hexadecimal digits, an address, or for tcp.flags names joined by |. It is
// what stands on the wire: ip.hdr_len and tcp.hdr_len count 4 bytes each,
// ip.frag_offset counts 8, tcp.seq is not relative and the window not scaled. What
// is added is decimal and can be negative; the sum is taken modulo the field's
// width. Several fields are written with commas and without spaces. First fields
// are set, then flipped, then added to, each in the order of the headers and a
// field before its parts, whatever the order in the text. All are looked for in
// the frame as it was; if it lacks one of them, or they have their values already,
// nothing is changed.
//
// Checksums are left as they are, unless the rule says fixsum. Then those of a
// frame that was changed, in whichever way, become what its receiver computes: the
// IPv4 header's, and those of TCP, UDP (0 over IPv4 stays: there is none), ICMP,
// ICMPv6, IGMP and SCTP. Of fragments it is only the IPv4 header's, since the
// other one also covers bytes in other frames; what can no longer be found,
// because a length or a type was changed, is left alone. A field that is a
// checksum cannot be changed in a rule with fixsum.
package faults
