// Package live runs one switch in real time: with hosts of its own and with devices
// that lead to kernels, virtual machines and other machines, under rules that may
// change meanwhile, and records what happens.
//
// # A map of the package
//
//   - [Config] says which ports there are ([Port]: a device of package tap or a [Host]),
//     what breaks, where the recording goes and when to end.
//   - [Start] opens the devices and plugs everything in; [Switch.Run] lets it run, until its
//     context ends, a limit is reached or [Switch.Stop] is called; [Switch.Close] lets go of
//     everything.
//   - [Switch.Status] is what happened so far, at any time; it is also the result.
//   - [Switch.AddFault], [Switch.SetFault], [Switch.RemoveFault] and [Switch.SetCable]
//     change what holds for frames, and [Switch.Rotate] and [Switch.Capture] are about
//     the recording; all may be called while it runs.
//
// Package control, beside this one, makes all of that available over a local socket.
//
// A port that goes away (an interface that was removed, a stream that ended) is
// closed, reported once to Config.Notice, and the rest goes on. An error of the
// recording ends the run: what is not recorded did not happen here.
package live
