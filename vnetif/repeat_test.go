package vnetif_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// fingerprintOf runs a scene.
func fingerprintOf(t testing.TB, s scene, seed uint64) string {
	l := newLAN(t, setup{world: vswitch.Config{Seed: seed}, quiet: true})
	s.run(l)
	return fmt.Sprintf("%s, virtual %v", l.wire.fingerprint(), l.w.Stats().Virtual)
}

// The same seed gives the same bytes at the same instants, whatever worlds came
// before, how many processors Go has and how hard its garbage collector works.
func TestRunsAreTheSame(t *testing.T) {
	runs := 20
	if raceEnabled || testing.Short() {
		runs = 4
	}
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			if raceEnabled && s.concurrent {
				t.Skip("the race detector shuffles goroutines that are runnable at the same time; their results are checked, the bytes are not")
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
			defer debug.SetGCPercent(debug.SetGCPercent(100))
			want := fingerprintOf(t, s, 1)
			for i := range runs - 1 {
				runtime.GOMAXPROCS([]int{1, 2, 4}[i%3])
				debug.SetGCPercent([]int{100, 1}[i%2])
				if got := fingerprintOf(t, s, 1); got != want {
					t.Errorf("run %d: %s\nthe first: %s", i+2, got, want)
				}
			}
			if got := fingerprintOf(t, s, 2); got == want {
				t.Errorf("another seed: %s, too", got)
			}
		})
	}
}

// sceneVariable names the scene that a child process has to run.
const sceneVariable = "VNETIF_TEST_SCENE"

// TestScene is what the children of TestProcessesAreTheSame run.
func TestScene(t *testing.T) {
	name := os.Getenv(sceneVariable)
	if name == "" {
		t.Skip("only for child processes of TestProcessesAreTheSame")
	}
	fmt.Printf("fingerprint: %s\n", fingerprintOf(t, sceneNamed(name), 1))
}

// inChild runs a scene in a process of its own, with more environment.
func inChild(t *testing.T, s scene, env ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestScene$")
	cmd.Env = append(append(os.Environ(), sceneVariable+"="+s.name), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	for line := range bytes.Lines(out) {
		if fp, ok := strings.CutPrefix(string(line), "fingerprint: "); ok {
			return strings.TrimSpace(fp)
		}
	}
	t.Fatalf("child printed no fingerprint:\n%s", out)
	return ""
}

// What differs from process to process (hash seeds of maps, gVisor's global
// source of random numbers, addresses in memory) is not seen on the wire; nor is
// what differs between a new process and this one.
func TestProcessesAreTheSame(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			if raceEnabled && s.concurrent {
				t.Skip("the race detector shuffles goroutines that are runnable at the same time")
			}
			want := fingerprintOf(t, s, 1)
			environments := [][]string{
				{"GOMAXPROCS=4", "GOMEMLIMIT=10MiB", "GOGC=off"},
				{"GOMAXPROCS=2", "GOGC=1"},
				{"GOMAXPROCS=1", "TZ=Asia/Tokyo"},
			}
			if raceEnabled || testing.Short() {
				environments = environments[:1]
			}
			for _, env := range environments {
				equal(t, strings.Join(env, " "), inChild(t, s, env...), want)
			}
		})
	}
}

// numbers collects what stacks choose at random.
func numbers(l *lan) map[string]string {
	m := map[string]string{}
	note := func(what string, v any) {
		if m[what] == "" {
			m[what] = fmt.Sprint(v)
		}
	}
	for _, p := range l.wire.packets() {
		switch {
		case p.fragment && p.v6:
			note("identification of IPv6 fragments", p.id)
		case p.fragment:
			note("identification of IPv4 fragments", p.id)
		case p.proto == protoTCP && p.flags()&tcpSYN != 0:
			note("initial sequence number of the "+p.from, p.seq())
			note("timestamp of the "+p.from, p.transport[20:])
			if p.from == "client" {
				note("ephemeral TCP port", p.srcPort())
			}
		case p.proto == protoUDP && p.from == "client":
			note("ephemeral UDP port", p.srcPort())
		}
	}
	return m
}

// Whatever a stack chooses at random comes from the seed.
func TestSeedChoosesTheNumbers(t *testing.T) {
	world := func(seed uint64) *lan { return newLAN(t, setup{world: vswitch.Config{Seed: seed}}) }
	tcp := func(seed uint64) map[string]string {
		l := world(seed)
		l.transfer("tcp", "server:7", 1000)
		return numbers(l)
	}
	udp := func(seed uint64) map[string]string {
		l := world(seed)
		sceneFragments(l)
		return numbers(l)
	}
	for name, run := range map[string]func(uint64) map[string]string{"TCP": tcp, "UDP": udp} {
		a, again, b := run(1), run(1), run(2)
		if len(a) < 2 {
			t.Errorf("%s: only %v", name, a)
		}
		for what := range a {
			equal(t, what+", same seed", again[what], a[what])
			if a[what] == b[what] {
				t.Errorf("%s is %s for two seeds", what, a[what])
			}
		}
	}
}
