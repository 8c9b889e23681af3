// Package vswitch is a software Ethernet switch and the world it stands in: a
// virtual clock, an event loop and a settle barrier that make everything that
// happens on the switch happen again, byte for byte, on the next run. The same switch
// also works in real time, for ports that lead to the real world.
//
// (The directory is called switch; switch is a Go keyword, so the package is
// called vswitch.)
//
// # A map of the package
//
//   - [World] owns time, order and the run: [World.Run] is the only way in.
//   - [Switch] forwards frames between its ports, as a learning switch or a hub.
//   - [Port] is one socket of a switch with the cable plugged into it; what hangs
//     at the other end of the cable is an [Endpoint].
//   - [Frame] is one Ethernet frame on its way.
//   - [Rule] decides what becomes of a frame; its answer is a [Verdict]. A [Gate]
//     can refuse it inside the sender's write. An [InstalledRule] counts, and can be
//     turned off, on and removed, also while the world runs.
//   - [Recorder] is told of every [Event]: ports, frames with their whole fate,
//     deliveries, changes.
//   - [Holds] keeps frames that wait for others to pass them.
//   - [Node] is a party of the world (a host, a raw interface): it gives timers
//     ([Clock]) and blocking calls ([Op]) their place in the world's order.
//   - [Derive] and [NewRand] make independent random streams out of one seed.
//
// The package imports the standard library only. It knows no protocol above
// Ethernet, no file format and no flag.
//
// # Time and order
//
// A world's clock stands still while anything runs. The loop repeats: wait until
// no goroutine of the process runs or can run (settle), take the frames that the
// ports were given, in port order, and decide their fate; execute the blocking
// calls that can proceed, one at a time, in a fixed order; and when none can,
// move the clock to the next event. Events of one instant are ordered by class
// (frame deliveries, then timers of stacks, then timers of applications), then
// by node in order of creation, then by that node's own sequence. Nothing in
// this order depends on the Go scheduler or on the wall clock.
//
// # Real time
//
// A world with [Config].RealTime has the machine's clock and no loop. A frame's fate is
// decided, by the same code and with the same verdicts, inside the sender's call, one
// frame of a switch after the other; copies for receivers wait in bounded queues, from
// which each port's own goroutine hands them to its endpoint ([BatchEndpoint] takes
// many at once). A sender waits for a receiver that is slower (back pressure); one that
// takes nothing at all loses frames, which are counted and recorded, and holds up
// nobody. Blocking calls proceed on the goroutines that make them. The order of frames
// is that in which the machine brought them, so such a run does not repeat; but what
// rules decide about a frame depends on the seed, and on the frames of its flow before.
// Several such worlds can run in a process at a time; in virtual time only one can, and
// nothing beside it.
package vswitch
