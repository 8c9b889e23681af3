// Package faults is the rules by which a switch loses, copies and damages frames,
// and the language they are written in: one for the command line, for scenario
// files and for Go, which prints back what it read.
//
//	loss: drop 2% to server
//	drop nth 3,17..19 from client
//	duplicate 0.5% copies 2 gap 1ms from client
//	corrupt nth 4 @66:4f>4e from server to client
//
// # A map of the package
//
//   - [Parse] reads a rule ([Rule]); a [SyntaxError] says where it is wrong.
//     [ParseAll] reads the rules of a scenario.
//   - [Install] puts rules on a switch. An [Installed] rule counts what it did.
//   - [Rule.Compile] makes a [vswitch.Rule] of one rule, for who wants to ask it.
//   - [Extract] turns what was done in a run into rules that do just that again.
//
// # The language
//
//	[name:] WHAT [HOW-OFTEN] [options] [from PORT] [to PORT]
//
// Words are separated by white space; case matters. The name, what and how-often
// come in this order, the rest in any, each at most once. A name has letters,
// digits, - and _, and is not a word of the language. What is not understood is
// an error that names the column, the word and what can stand there.
//
// WHAT is one of
//
//	drop                      the frame is lost
//	duplicate                 it arrives once more
//	    copies N              ... N times more (1 to 1000)
//	    gap TIME              each copy so much after the one before (0s to 1h)
//	corrupt                   one random bit of it is flipped
//	    bits N                ... N different bits (1 to 1000)
//	    @OFFSET:OLD>NEW       or exactly these bytes change, in hexadecimal
//
// HOW-OFTEN is one of
//
//	(nothing)                 every frame
//	2%  0.5‰  1/50            each frame with this probability, independently
//	nth 3,17..19,40..         the 3rd, the 17th to 19th, all from the 40th
//	every 10                  the 10th, the 20th ...
//	first 5                   the first five
//
// Probabilities are exact ratios, to be written with a unit or as a fraction.
// Times have one of the units ns, us, ms, s, m, h.
//
// # Where
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
// What happens on the sender's cable happens to all receivers at once; of a
// flooded frame each receiver's cable is decided by itself. Rules see every frame
// as it was sent, also those that another rule loses; the effects then compose in
// the order of the rules. Frames that a full queue or a pulled cable keeps from
// entering the switch are neither seen nor counted.
//
// nth, every and first count the frames of each path by itself: a path is a
// sender, or a sender and a receiver for a rule with "to". "drop first 1" loses
// the first frame of every sender. Frames of any kind are counted, ARP and
// neighbour discovery among them: the first frame of a conversation is seldom
// its SYN.
//
// # Draws
//
// A random decision is a pure function of the seed, the rule, the path (by the
// names of the switch and its ports), the flow to which the frame belongs (one
// way: addresses, protocol, ports) and the frame's place in that flow among those
// which the rule matches. Nothing else enters, no state is shared: other rules and other flows
// can come and go without changing which frames of this flow are hit. The rule
// enters with its name, if it has one, so that a changed probability deals from
// the same cards: with 3% all victims of 2% are hit, and some more. A rule without
// a name enters with its normal form and a number that tells equal ones apart. A
// rule that is removed and installed again starts afresh.
//
// Fragments but the first have no ports: they are a flow of their own. A rule
// counts up to 65,536 flows apart, in at most about 4 MiB; those that appear later
// share one counter on their path, so that one of them can re-deal another.
//
// # Corruption
//
// Random bits are chosen anywhere behind the Ethernet header and its VLAN tags,
// so that the frame still reaches its receiver, which then has to notice. (Linux's
// netem flips one bit anywhere in the frame.) Checksums are left as they are. A
// frame with nothing behind that header is not changed.
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
package faults
