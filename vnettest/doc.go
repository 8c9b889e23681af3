// Package vnettest puts a network into a test: hosts with TCP/IP stacks on a
// software switch in virtual time, the faults that the test is about, and a
// recording that is there when the test has failed.
//
//	func TestRetriesSurviveLoss(t *testing.T) {
//		n := vnettest.New(t, vnettest.Config{Seed: 7, Faults: []string{"loss: drop 10% from server"}})
//		n.HTTPServer("server", ":80", handler)
//		n.Run(func(ctx context.Context) error {
//			resp, err := n.HTTPClient("client").Get("http://server/")
//			if err != nil {
//				return err
//			}
//			return resp.Body.Close()
//		})
//	}
//
// # A map of the package
//
//   - [New] makes a [Net] from a [Config]: named hosts, their cables, fault rules; where
//     one switch is not enough, several, each with a recording, and a [Router] between them.
//   - [Net.Host] gives a host, with its net.Conn and net.Listener; [Net.Listen],
//     [Net.HTTPServer] and [Net.HTTPClient] are shorthands.
//   - [Net.Go] and [Net.Background] add applications; [Net.Run] runs all of it.
//   - [Net.Rule] gives a fault rule, to turn it off and on and to ask what it did;
//     [Net.Fault] adds one.
//   - [Config].Golden compares the run with a recording in testdata.
//   - [Replay] plays a capture against the code under test.
//   - [Net.World], [Net.Switch] and [Net.Recording] lead to the packages below, and of
//     several switches [Net.SwitchNamed] and [Net.Recordings].
//
// # When a test fails
//
// The test's recording is kept and its path is printed, with the seed and the
// command that does it again. With go test -artifacts it lies among the test's
// artifacts (T.ArtifactDir; add -outputdir to say where), otherwise in a new
// directory under os.TempDir, since go test removes an ArtifactDir that nobody
// asked for. Whether the test has failed is looked at when the cleanups that were
// registered after New have run. A test that passes leaves nothing behind. Of several
// switches all recordings are kept, side by side: TestX.lan.pcapng, TestX.wan.pcapng.
//
// A recording is whole also when the test ended by t.Fatal, a panic in a function
// of [Net.Run], [Net.Go] or [Net.Background], a deadlock or a limit. While go test
// fuzzes (-fuzz), nothing is recorded; the command that go test prints for a
// failing input runs it alone, with a recording.
//
// # Fault rules that tested nothing
//
// A rule that was never in force where it was about a frame fails the test: a
// misspelt expression, a time after the end of the run, a direction in which
// nobody sends. Config.MayMiss names exceptions. A rule that was in force and hit
// nothing, such as 1% of thirty frames, does not fail the test, because another
// seed may hit; the line that go test -v shows says how many frames each rule hit,
// and [Net.Rule] counts them.
//
// # Flags
//
//	-vnettest.seed N   every world gets this seed instead of its Config's
//	-vnettest.keep     recordings of tests that pass are kept, too (see -v for where)
//	-vnettest.update   golden recordings are written instead of compared
//
// A flag -update that the test's own package defines works like the last one.
// Flags of a test binary come after the package: go test ./wire -vnettest.seed=3.
//
// # Many tests in one process
//
// A world that runs has the process for itself: GOMAXPROCS is 1 and the garbage
// collector waits. Worlds of parallel tests run one after the other. Other tests
// that run in parallel with one disturb it: a busy one makes it wait, and one that
// starts goroutines which sleep or wait for real sockets makes it fail, for they
// cannot be told from its own. Keep such tests out of t.Parallel.
//
// That a run repeats byte for byte is promised for a process that does nothing
// else, and not under the race detector, which shuffles goroutines on purpose. So
// golden recordings are made by a process of their own, and are not compared in a
// binary built with -race.
package vnettest
