package vnettest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
	"github.com/vnreplay/vnreplay/vnettest"
)

func TestAPassingTestLeavesNothing(t *testing.T) {
	for _, scene := range []string{"passes", "may miss", "skip", "seeds"} {
		t.Run(scene, func(t *testing.T) {
			p := play(t, t.TempDir(), scene)
			if !p.passed {
				t.Errorf("it failed:\n%s", p.out)
			}
			p.nothingLeft(t)
			p.saysNot(t, "recording:", "the test went on")
		})
	}
	p := play(t, t.TempDir(), "passes")
	p.says(t, "vnettest: seed 7: ", "of virtual time; loss: ")
}

// Each way of failing: what the test says, and that its recording is whole.
func TestAFailingTestKeepsItsRecording(t *testing.T) {
	for scene, want := range map[string][]string{
		"error":                   {"vnettest: main, after ", "the document is dull", "vnettest: seed 7, recording: "},
		"error of one of many":    {"vnettest: hasty, after 1s of virtual time: too late"},
		"later":                   {"it is not good enough"},
		"fatal":                   {"enough of it"},
		"fatal in an application": {`no host "no such host"; the hosts are client, server`},
		"goexit":                  {"main ended by runtime.Goexit after 0s of virtual time, and not by this test's t.FailNow"},
		"panic":                   {"vnettest: app panicked after ", ": boom\n", "scenes_test.go:"},
		"deadlock":                {"deadlock: nothing is to come", "server waits in accept tcp [::]:80"},
		"limit":                   {"limit passed: 1s of virtual time"},
		"miss": {`the fault rule "typo: drop from server if \"tcp port 81\"" never met a frame`,
			`the fault rule "drop 1% from client during 1h..2h" never met a frame`},
		"run twice": {"a network runs once"},
	} {
		t.Run(scene, func(t *testing.T) {
			p := play(t, t.TempDir(), strings.ReplaceAll(scene, " ", "_"))
			path := p.recording(t)
			p.says(t, want...)
			p.says(t, "vnreplay show "+path, "go test ", " -run '^TestScene$/^"+strings.ReplaceAll(scene, " ", "_")+"$' -count=1 github.com/vnreplay/vnreplay/vnettest -vnettest.seed=")
			p.saysNot(t, "the test went on", "idle was woken", "nobody came", "\"met", "runtime error: invalid")
			n, meta := frames(t, path)
			if slices.Contains([]string{"error", "later", "fatal", "panic", "miss"}, scene) && n < 30 {
				t.Errorf("the recording has %d frames", n)
			}
			if scene == "error" && (meta.Seed != 7 || !slices.Equal(meta.Rules, []string{"late: delay 1ms from client"})) {
				t.Errorf("the recording says it is of %+v", meta)
			}
			wireshark(t, path)
		})
	}
}

// wireshark fails the test if tshark does not read the recording, or complains.
func wireshark(t *testing.T, path string) {
	t.Helper()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
			t.Error(err)
		}
		return
	}
	cmd := exec.Command(tshark, "-r", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || strings.Contains(stderr.String(), "cut short") {
		t.Errorf("tshark: %v\n%s", err, stderr.String())
	}
}

func TestAWorldInsideAWorld(t *testing.T) {
	p := play(t, t.TempDir(), "nested")
	if p.passed {
		t.Error("it passed")
	}
	p.says(t, "another world of this test is running")
	p.saysNot(t, "the test went on", "deadlock")
}

func TestWorldsThatAreNeverRun(t *testing.T) {
	p := play(t, t.TempDir(), "never_run")
	if p.passed {
		t.Error("it passed")
	}
	p.says(t, "the network was never run")
	p.saysNot(t, "recording:")
	p.nothingLeft(t)
}

func TestSeveralWorldsOfATestKeepARecordingEach(t *testing.T) {
	p := play(t, t.TempDir(), "two_worlds")
	if p.passed || len(p.left) != 2 {
		t.Errorf("it left %v:\n%s", p.left, p.out)
	}
	out := t.TempDir()
	p = play(t, t.TempDir(), "two_worlds", "-test.artifacts", "-test.outputdir="+out)
	if p.passed || len(p.left) != 0 {
		t.Errorf("it left %v:\n%s", p.left, p.out)
	}
	kept, _ := filepath.Glob(filepath.Join(out, "_artifacts", "*", "*.pcapng"))
	if len(kept) != 2 || filepath.Base(kept[0]) != "TestScene_two_worlds-2.pcapng" || filepath.Base(kept[1]) != "TestScene_two_worlds.pcapng" {
		t.Errorf("among the artifacts: %v", kept)
	}
	for _, path := range kept {
		p.says(t, "recording: "+path)
	}
}

func TestFlags(t *testing.T) {
	p := play(t, t.TempDir(), "passes", "-vnettest.keep")
	if !p.passed || len(p.left) != 1 {
		t.Errorf("-vnettest.keep: it left %v:\n%s", p.left, p.out)
	}
	p.saysNot(t, "again:")
	p = play(t, t.TempDir(), "seeds", "-vnettest.seed=18446744073709551615")
	if n := strings.Count(p.out, "the world's seed is 18446744073709551615"); n != 2 {
		t.Errorf("-vnettest.seed reached %d worlds, want 2:\n%s", n, p.out)
	}
	p = play(t, t.TempDir(), "seeds")
	p.says(t, "the world's seed is 0", "the world's seed is 1")
	p = play(t, t.TempDir(), "seeds", "-vnettest.seed=-1")
	p.says(t, "want a whole number from 0 to 18446744073709551615")
}

// Worlds of parallel tests run one after the other, and none sees the others: each
// is what it is alone, also in -count, -shuffle.
func TestParallelWorlds(t *testing.T) {
	var recordings [4][]byte
	t.Run("worlds", func(t *testing.T) {
		for i := range recordings {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				n := vnettest.New(t, vnettest.Config{Seed: uint64(i % 2), Faults: []string{"drop 10%"}})
				n.HTTPServer("server", ":80", handler)
				n.Run(download(n))
				recordings[i], _ = os.ReadFile(n.Recording())
			})
		}
	})
	for i, r := range recordings {
		if len(r) == 0 {
			t.Errorf("world %d has no recording", i)
		}
	}
	if bytes.Equal(recordings[0], recordings[1]) {
		t.Error("two seeds gave the same recording")
	}
	if !bytes.Equal(recordings[0], recordings[2]) {
		// In a process that does more than this, and under -race, it is no promise.
		t.Log("two worlds of one seed have different recordings")
	}
}

func TestConfigErrors(t *testing.T) {
	many := make([]vnettest.Host, 255)
	for i := range many {
		many[i].Name = fmt.Sprintf("h%d", i)
	}
	for want, cfg := range map[string]vnettest.Config{
		`host "" (Config.Hosts[0]): it needs a Name`:                                          {Hosts: vnettest.Hosts("")},
		`host "a" (Config.Hosts[0]): address "10.0.0.1": want one with the length`:            {Hosts: []vnettest.Host{{Name: "a", Addrs: []string{"10.0.0.1"}}}},
		`host a: gateway 1: no neighbour on the network of an address of its own: 10.1.0.254`: {Hosts: []vnettest.Host{{Name: "a", Gateways: []string{"10.1.0.254"}}}},
		`host "a" (Config.Hosts[0]): gateway "x": want an IP address`:                         {Hosts: []vnettest.Host{{Name: "a", Gateways: []string{"x"}}}},
		`host "a" (Config.Hosts[0]): `:                                                        {Hosts: []vnettest.Host{{Name: "a", MAC: "x"}}},
		`hosts "a" and "b" both have the address 10.0.0.2`:                                    {Hosts: []vnettest.Host{{Name: "a", Addrs: []string{"10.0.0.2/24"}}, {Name: "b"}}},
		`host "h254" (Config.Hosts[254]): only the first 254 hosts`:                           {Hosts: many},
		`fault rule`: {Faults: []string{"drpo 2%"}},
		`no port "sever"; the ports are client, server; did you mean "server"?`:      {Faults: []string{"drop from sever"}},
		`Config.MayMiss: there is no rule "lost"; the rules are "loss", "delay 1ms"`: {Faults: []string{"loss: drop", "delay 1ms"}, MayMiss: []string{"lost"}},
		`Config.MayMiss: there is no rule "lost"; there are none`:                    {MayMiss: []string{"lost"}},
		`no such file`: {Faults: []string{`delay 40ms jitter 10ms table "missing.dist"`}},
	} {
		wantError(t, cfg, want)
	}
}

// wantError fails the test unless New refuses a Config with a message that has want in it.
func wantError(t *testing.T, cfg vnettest.Config, want string) {
	t.Helper()
	var got string
	tb := &catcher{TB: t, said: &got}
	tb.run(func() { vnettest.New(tb, cfg) })
	if !strings.HasPrefix(got, "vnettest.New: ") || !strings.Contains(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// catcher is a test that catches the message of Fatalf.
type catcher struct {
	testing.TB
	said *string
}

func (c *catcher) Fatalf(format string, args ...any) {
	*c.said = fmt.Sprintf(format, args...)
	panic(c)
}

func (c *catcher) run(f func()) {
	defer func() {
		if r := recover(); r != nil && r != any(c) {
			panic(r)
		}
	}()
	f()
}

func TestHostsGetAddressesAndCables(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Hosts: []vnettest.Host{
		{Name: "a", Latency: 20 * time.Millisecond, Rate: 10 * vnettest.Mbit, Queue: 64, MTU: 1400},
		{Name: "b", Addrs: []string{"192.0.2.7/24"}, MAC: "02:00:00:00:00:99"},
		{Name: "c"},
	}})
	for name, want := range map[string]string{
		"a": "[10.0.0.1/24 fd00::1/64]", "b": "[192.0.2.7/24]", "c": "[10.0.0.3/24 fd00::3/64]",
	} {
		if got := fmt.Sprint(n.Host(name).Addrs()); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
	p := n.Host("a").Port()
	if p.Latency() != 20*time.Millisecond || p.Rate() != 10_000_000 || p.Queue() != 64 || p.MTU() != 1400 {
		t.Errorf("the cable of a: latency %v, rate %d, queue %d, MTU %d", p.Latency(), p.Rate(), p.Queue(), p.MTU())
	}
	if mac := n.Host("b").Port().MAC().String(); mac != "02:00:00:00:00:99" {
		t.Errorf("b has the address %s", mac)
	}
}

// A rule is turned off in the midst of a run, another is added, and both count.
func TestRulesDuringARun(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Faults: []string{"cut: drop from server", "delay 1ms from client"}})
	n.HTTPServer("server", ":80", handler)
	n.Run(func(ctx context.Context) error {
		client := n.Host("client")
		short, cancel := client.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(short, "GET", "http://server/", nil)
		if err != nil {
			return err
		}
		if _, err := n.HTTPClient("client").Do(req); !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the cable is cut, but the request: %v", err)
		}
		n.Rule("cut").SetOn(false)
		n.Fault("more: duplicate nth 3 from server")
		return download(n)(ctx)
	})
	if c := n.Rule("cut").Counts(); c.Dropped == 0 {
		t.Error("nothing was cut")
	}
	if c := n.Rule("more").Counts(); c.Copied != 1 {
		t.Errorf("%d frames were copied, want 1", c.Copied)
	}
	if c := n.Rule("delay 1ms from client").Counts(); c.Delayed == 0 {
		t.Error("nothing was delayed")
	}
}

// What New does not make can be put on the switch beside it, and be named by rules.
func TestRawInterfaceBesideHosts(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{Hosts: vnettest.Hosts("host")})
	raw, err := vnetif.NewRaw(n.Switch(), vnetif.RawConfig{Port: vswitch.PortConfig{Name: "tap"}})
	if err != nil {
		t.Fatal(err)
	}
	n.Fault("late: delay 5ms from tap")
	n.Run(func(context.Context) error {
		return raw.WriteFrame(append(append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 2, 0, 0, 0, 0, 9, 0x88, 0xb5), make([]byte, 46)...))
	})
	if n.Rule("late").Counts().Delayed != 1 {
		t.Error("the frame was not delayed")
	}
	if count, meta := frames(t, n.Recording()); count != 1 || len(meta.Rules) != 1 {
		t.Errorf("the recording has %d frames and the rules %v", count, meta.Rules)
	}
}

// A server that is shut down ends its Background without failing the test.
func TestServerThatIsClosed(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{})
	srv := &http.Server{Handler: handler}
	l := n.Listen("server", "tcp", ":80")
	n.Background("web", func(context.Context) error { return srv.Serve(l) })
	n.Run(func(ctx context.Context) error {
		if err := download(n)(ctx); err != nil {
			return err
		}
		return srv.Close()
	})
}

var _ net.Listener = (*vnetif.Listener)(nil)
