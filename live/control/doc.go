// Package control lets other processes of the same user look at a running switch of
// package live, change it, and take its frames.
//
// # A map of the package
//
//   - [Listen] makes the socket of a switch, [Server.Serve] answers on it.
//   - [Dial] is the other end: [Client.Do] asks, [Client.Capture] takes the stream.
//   - [Find] lists the switches that run. [Dir] is where their sockets are.
//
// # The protocol, version 1
//
// A unix stream socket, mode 0600 in a directory of mode 0700. The client sends a request,
// one line of JSON of at most 128 KiB, and gets one line of JSON for it; then it may send
// the next. A [Request] names what is to be done and its arguments:
//
//	{"vnreplay":1,"do":"status"}
//	{"vnreplay":1,"do":"fault-add","rule":"loss: drop 5% from web"}
//	{"vnreplay":1,"do":"fault-off","rule":"loss"}        a name, or a number: "2"
//	{"vnreplay":1,"do":"fault-on","rule":"2"}
//	{"vnreplay":1,"do":"fault-remove","rule":"2"}
//	{"vnreplay":1,"do":"cable","port":"web","up":false}
//	{"vnreplay":1,"do":"rotate"}                         the next frame begins a file
//	{"vnreplay":1,"do":"stop"}
//	{"vnreplay":1,"do":"capture"}
//
// An [Answer] has "error" if it could not be done, and else what was asked for: the whole
// status for status, the rule's for the others that are about one. The answer to capture
// is followed by a pcapng, from now on, until the run or the connection ends.
//
// A request of another version, one that is no JSON, unknown keys and unknown words get an
// error, and the connection goes on; a line that is too long ends it. There may be
// several clients at a time, up to [MaxClients]; one that does not take its answer within
// a few seconds is cut off. Nothing that a client does makes the switch wait.
package control
