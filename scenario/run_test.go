package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record runs a scenario of one switch and returns its recording, too.
func record(t *testing.T, s *scenario.Scenario) (*scenario.Result, []byte) {
	t.Helper()
	res, data := recordAll(t, s)
	return res, data[0]
}

// recordAll runs a scenario and returns what it did and its recordings, in the order of
// the switches.
func recordAll(t *testing.T, s *scenario.Scenario) (*scenario.Result, [][]byte) {
	t.Helper()
	return recordAs(t, s, s.Metas())
}

// recordAs is recordAll with what the recordings are to say of their run.
func recordAs(t *testing.T, s *scenario.Scenario, metas []pcap.Meta) (*scenario.Result, [][]byte) {
	t.Helper()
	files := make([]bytes.Buffer, len(metas))
	recs := make([]vswitch.Recorder, len(metas))
	for i, meta := range metas {
		var err error
		if recs[i], err = pcap.NewRecorder(&files[i], meta); err != nil {
			t.Fatal(err)
		}
	}
	res, err := scenario.Run(context.Background(), s, scenario.Options{Recorders: recs, WallLimit: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var data [][]byte
	for i, rec := range recs {
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		data = append(data, files[i].Bytes())
	}
	return res, data
}

func load(t *testing.T, name string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Load(filepath.Join("../fixtures/scenarios", name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte(text), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// compare returns the first difference of two recordings.
func compare(t *testing.T, a, b []byte) *pcap.Comparison {
	t.Helper()
	expected, err := pcap.NewReader(bytes.NewReader(a), "a")
	if err != nil {
		t.Fatal(err)
	}
	actual, err := pcap.NewReader(bytes.NewReader(b), "b")
	if err != nil {
		t.Fatal(err)
	}
	c, err := pcap.Compare(expected, actual)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every fixture meets its expectations, gives the same recording twice, and the
// faults extracted from it do the same again.
func TestFixtures(t *testing.T) {
	paths, _ := filepath.Glob("../fixtures/scenarios/*.yaml")
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			s := load(t, filepath.Base(path))
			res, first := recordAll(t, s)
			for _, f := range res.Failures {
				t.Error(f)
			}
			if res.Unordered > 0 {
				t.Errorf("the order of %d calls came from the Go scheduler", res.Unordered)
			}
			if raceEnabled && strings.HasPrefix(s.Name(), "http-concurrent") {
				t.Skip("under the race detector, only results are compared")
			}
			_, second := recordAll(t, load(t, filepath.Base(path)))
			for i := range first {
				if !bytes.Equal(first[i], second[i]) {
					t.Errorf("the second run differs on switch %s: %v", s.SwitchNames()[i], compare(t, first[i], second[i]).Difference)
				}
			}
			if raceEnabled {
				return // the rest is about the same again, and slow
			}
			var opens []scenario.Opener
			for _, data := range first {
				opens = append(opens, func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(data), "first") })
			}
			rules, err := scenario.ExtractFaults(opens...)
			if err != nil {
				t.Fatal(err)
			}
			exact := load(t, filepath.Base(path))
			if err := exact.SetFaults(rules); err != nil {
				t.Fatal(err)
			}
			again, _ := recordAll(t, exact)
			if again.Frames != res.Frames || again.Virtual != res.Virtual || again.Affected != res.Affected {
				t.Errorf("with the extracted faults: %d frames in %v, %+v; want %d in %v, %+v",
					again.Frames, again.Virtual, again.Affected, res.Frames, res.Virtual, res.Affected)
			}
		})
	}
}

// The virtual time of a run is part of what it is.
func TestVirtualTime(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes the order of goroutines")
	}
	res, _ := record(t, load(t, "http-concurrent.yaml"))
	if want := 40108845348 * time.Nanosecond; res.Virtual != want {
		t.Errorf("%v of virtual time, want %v", res.Virtual, want)
	}
}

func TestExpectations(t *testing.T) {
	const base = `
seed: 1
hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}
faults: ["loss: drop nth 3 from a"]
apps:
  web: {host: b, http-server: {files: {/x: random 10kB}}}
  get: {host: a, http-get: {url: "http://b/x", times: 2}}
  ping: {host: a, ping: {to: b, times: 2, interval: 10ms, timeout: 50ms}}
  dead: {host: a, echo: {to: "b:9"}}
expect:
`
	for name, test := range map[string]struct{ expect, want string }{
		"all hold": {`
  get: {ok: 2, failed: 0, bytes: 20kB, sha256: served, within: 1m}
  dead: {error: refused}
  faults: {loss: 1, "1": 1}
  tcp: {resets: ">=1"}
  run: {frames: ">10", virtual: <1h, unordered: 0}`, ""},
		"an error that nobody expects": {`
  get: {ok: 2}`, "dead.error: expected none, got dial tcp"},
		"another error": {`
  dead: {error: timeout}`, `dead.error: expected an error with "timeout", got dial tcp`},
		"no error": {`
  dead: {error: refused}
  get: {error: refused}`, `get.error: expected an error with "refused", got none`},
		"counts": {`
  dead: {error: refused}
  get: {ok: 3..4}`, "get.ok: expected 3..4, got 2"},
		"bytes": {`
  dead: {error: refused}
  get: {bytes: "<10kB"}`, "get.bytes: expected <=9999B, got 20kB"},
		"hash": {`
  dead: {error: refused}
  get: {sha256: "` + strings.Repeat("ab", 32) + `"}`, "get.sha256: expected abab"},
		"time": {`
  dead: {error: refused}
  get: {within: 1us}`, "get.within: expected 1us, got"},
		"faults": {`
  dead: {error: refused}
  faults: {loss: 0}`, "faults.loss: expected 0 frames affected, got 1"},
		"tcp": {`
  dead: {error: refused}
  tcp: {resets: 0}`, "tcp.resets: expected 0, got 1"},
		"run": {`
  dead: {error: refused}
  run: {frames: 1}`, "run.frames: expected 1, got"},
	} {
		t.Run(name, func(t *testing.T) {
			res, _ := record(t, parse(t, base+test.expect))
			var got []string
			for _, f := range res.Failures {
				got = append(got, f.String())
			}
			switch {
			case test.want == "" && got != nil:
				t.Errorf("failures %q, want none", got)
			case test.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.want)):
				t.Errorf("failures %q, want one that begins with %q", got, test.want)
			}
		})
	}
}

// What a scenario's own server serves is compared without being asked to.
// A script changes what holds in the course of a run; the recording has it as
// events, and runs again.
func TestScript(t *testing.T) {
	s := parse(t, `
hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}
faults:
  - 'loss: drop from a if "icmp" off'
script:
  - {at: 7500ms, remove: twice}
  - {at: 1500ms, on: loss}
  - {at: 3500ms, off: loss}
  - {at: 4500ms, down: b}
  - {at: 5500ms, up: b}
  - {at: 6500ms, add: 'twice: duplicate to a if "icmp"'}
  - {at: 90s, add: 'late: drop'}
apps:
  ping: {host: a, ping: {to: b, times: 10, interval: 1s, timeout: 500ms}}
expect:
  ping: {ok: 7, lost: 3}
  faults: {loss: 2, twice: 1, late: 0}
`)
	res, recording := record(t, s)
	if len(res.Failures) > 0 {
		t.Errorf("failures: %v", res.Failures)
	}
	if n := len(res.Rules); n != 3 || !res.Rules[1].Added || res.Rules[2].Added {
		t.Errorf("rules: %+v", res.Rules)
	}
	var changes []string
	for _, c := range []string{"on rule=1:loss", "off rule=1:loss", "down port=b", "up port=b", "added rule=2:twice", "removed rule=2:twice"} {
		if !bytes.Contains(recording, []byte("vnr.change="+c)) {
			changes = append(changes, c)
		}
	}
	if changes != nil {
		t.Errorf("the recording does not tell of %q", changes)
	}
	path := filepath.Join(t.TempDir(), "script.pcapng")
	if err := os.WriteFile(path, recording, 0o666); err != nil {
		t.Fatal(err)
	}
	v, err := scenario.Verify(context.Background(), path, scenario.Options{})
	if err != nil || !v.Equal() {
		t.Errorf("verify: %+v, %v", v, err)
	}

	// What was done is done again without the rules, and without what the script
	// did to them; the cable is pulled again.
	rules, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return pcap.Open(path) })
	if err != nil {
		t.Fatal(err)
	}
	again := parse(t, s.Effective())
	if err := again.SetFaults(rules); err != nil {
		t.Fatal(err)
	}
	_, second := record(t, again)
	sameDeliveries(t, recording, second)
}

// sameDeliveries compares what arrives in two recordings.
func sameDeliveries(t *testing.T, a, b []byte) {
	t.Helper()
	all := func(data []byte) (list []string) {
		r, err := pcap.NewReader(bytes.NewReader(data), "recording")
		if err != nil {
			t.Fatal(err)
		}
		for d, err := range pcap.Deliveries(r) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%v %s #%d.%d %x", d.Time, d.Port, d.Frame.ID, d.Copy, d.Data))
		}
		return list
	}
	first, second := all(a), all(b)
	for i := range max(len(first), len(second)) {
		if i >= len(first) || i >= len(second) || first[i] != second[i] {
			t.Fatalf("delivery %d of %d and %d differs:\n%v\n%v", i, len(first), len(second), first[min(i, len(first)):min(i+1, len(first))], second[min(i, len(second)):min(i+1, len(second))])
		}
	}
	if len(first) == 0 {
		t.Fatal("nothing was delivered")
	}
}

// Of every model: the same seed gives the same file, another one other victims
// where it draws; and what was extracted from a run gives the same deliveries.
func TestEveryModelHappensAgain(t *testing.T) {
	for _, rule := range []string{
		"drop 3%", "drop nth 20,25..27 to server", "drop gemodel 2% 30% from server", "drop markov good=0% bad=50% good>bad=2% bad>good=30% to client",
		"drop 20% corr 30%", "duplicate 3% copies 2 gap 1ms", "corrupt 2%", "corrupt 2% bits 5 to server", "truncate 2% to 40B if \"tcp\"",
		"pad 0..9B to all", "delay 5ms jitter 2ms normal corr 25% from server", "delay 10% 30ms jitter 10ms pareto", "delay 5ms jitter 2ms table -8192,0,0,8192",
		"reorder 3% behind 3 to client", "reorder 80% ahead 2ms gap 3 from server", "rate 2mbit burst 10kB queue 12p from server",
		"rate 3mbit queue 9kB to client", "partition client -> server during 8ms..20ms", "down client after 20kB for 30ms",
		"up server during 0s..10ms,25ms..", "mtu 1000 from server until 30 frames", "drop 50% from client if \"tcp[tcpflags] & tcp-push != 0\" until 5 frames",
	} {
		t.Run(rule, func(t *testing.T) {
			text := fmt.Sprintf(`
seed: 3
hosts: {client: {ip: 10.0.0.1/24}, server: {ip: 10.0.0.2/24}, idle: {ip: 10.0.0.3/24}}
links: {client: {latency: 3ms}}
faults: ['x: %s']
apps:
  web: {host: server, http-server: {files: {/f: random 150kB}}}
  get: {host: client, http-get: {url: "http://server/f", times: 2}}
`, strings.ReplaceAll(rule, "'", "''"))
			res, first := record(t, parse(t, text))
			if r := res.Rules[0]; r.Frames == 0 {
				t.Fatalf("the rule did nothing: %+v", r)
			}
			_, second := record(t, parse(t, text))
			if !bytes.Equal(first, second) {
				t.Errorf("the same seed gives another recording: %v", compare(t, first, second).Difference)
			}
			path := filepath.Join(t.TempDir(), "first.pcapng")
			if err := os.WriteFile(path, first, 0o666); err != nil {
				t.Fatal(err)
			}
			rules, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return pcap.Open(path) })
			if err != nil {
				t.Fatal(err)
			}
			again := parse(t, text)
			if err := again.SetFaults(rules); err != nil {
				t.Fatal(err)
			}
			_, third := record(t, again)
			sameDeliveries(t, first, third)
		})
	}
}

func TestRunThatCannotEnd(t *testing.T) {
	s := parse(t, `
limit: 10s
hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}
faults: ["drop from b"]
apps:
  sink: {host: b, bulk-server: {port: 1}}
  send: {host: a, bulk: {to: "b:1", bytes: 1MB}}
`)
	res, _ := record(t, s)
	if len(res.Failures) == 0 || !strings.Contains(res.Failures[0].String(), "send") {
		t.Errorf("failures %v, want one that names the application send", res.Failures)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	_, err := scenario.Run(ctx, load(t, "bulk-loss.yaml"), scenario.Options{})
	if !errors.Is(err, context.Canceled) && !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestWallLimit(t *testing.T) {
	res, err := scenario.Run(context.Background(), load(t, "bulk-loss.yaml"), scenario.Options{WallLimit: time.Millisecond})
	if !errors.Is(err, vswitch.ErrLimit) || res == nil {
		t.Errorf("result %v, error %v; want a result and ErrLimit", res, err)
	}
}

func TestVerify(t *testing.T) {
	_, recording := record(t, load(t, "udp.yaml"))
	verify := func(t *testing.T, data []byte) (*scenario.Verification, error) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "r.pcapng")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return scenario.Verify(context.Background(), path, scenario.Options{})
	}
	t.Run("same", func(t *testing.T) {
		v, err := verify(t, recording)
		if err != nil || !v.Equal() || v.Frames != int(v.Result.Frames) || len(v.Versions) > 0 {
			t.Errorf("%+v, %v", v, err)
		}
	})
	t.Run("a flipped bit", func(t *testing.T) {
		// In the middle of each packet block that the reader finds.
		for _, p := range packets(t, recording) {
			if p.Number%7 != 1 {
				continue
			}
			data := bytes.Clone(recording)
			at := bytes.Index(data[p.Offset:], p.Data)
			data[int(p.Offset)+at+len(p.Data)/2] ^= 0x10
			v, err := verify(t, data)
			if err != nil || v.Difference == nil {
				t.Fatalf("frame %d: %+v, %v", p.Number, v, err)
			}
			if v.Difference.Frame != p.Number || len(v.Fields) != 1 {
				t.Errorf("frame %d: %v, fields %+v", p.Number, v.Difference, v.Fields)
			}
		}
	})
	t.Run("cut", func(t *testing.T) {
		all := packets(t, recording)
		p := all[len(all)/2]
		v, err := verify(t, recording[:p.Offset+20])
		if err != nil || v.Cut == nil || v.Difference != nil {
			t.Fatalf("%+v, %v", v, err)
		}
		if v.Cut.Offset != p.Offset || v.Cut.Frames != p.Number-1 {
			t.Errorf("cut at byte %d after frame %d, want %d and %d", v.Cut.Offset, v.Cut.Frames, p.Offset, p.Number-1)
		}
		// What follows is not run: a run that was ended may have been endless.
		if got := v.Result.Frames; got > uint64(p.Number)+1 {
			t.Errorf("the second run sent %d frames, for %d", got, p.Number-1)
		}
	})
	t.Run("a view", func(t *testing.T) {
		r, err := pcap.NewReader(bytes.NewReader(recording), "recording")
		if err != nil {
			t.Fatal(err)
		}
		var view bytes.Buffer
		if err := pcap.ViewAt(&view, r, "client"); err != nil {
			t.Fatal(err)
		}
		if _, err := verify(t, view.Bytes()); err == nil || !strings.HasSuffix(err.Error(), "it is the view at client of a recording; verify that one") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no scenario", func(t *testing.T) {
		_, err := scenario.Verify(context.Background(), "../fixtures/captures/01-http-get-100k.a.pcapng", scenario.Options{})
		if !errors.Is(err, scenario.ErrNoScenario) {
			t.Errorf("error %v", err)
		}
	})
}

// A scenario in a recording is held to the same limits as one in a file, and
// opens no file.
func TestHostileEmbeddedScenario(t *testing.T) {
	for name, text := range map[string]string{
		"file":       "hosts: {a: {ip: 10.0.0.1/24}}\napps: {w: {host: a, http-server: {files: {/f: {file: run_test.go}}}}}\n",
		"exec":       "hosts: {a: {ip: 10.0.0.1/24}}\napps: {w: {host: a, exec: {command: touch /tmp/x}}}\n",
		"10^9 hosts": "hosts: 1000000000\n",
		"aliases":    "seed: &a 1\nlimit: *a\n",
		"too much":   "hosts: {a: {ip: 10.0.0.1/24}}\napps: {w: {host: a, http-server: {files: {/f: random 1000GB}}}}\n",
		"escape":     "hosts: {\"\x1b[31m\": {ip: 10.0.0.1/24}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r.pcapng")
			rec, err := pcap.Create(path, pcap.Meta{Scenario: text, Clock: "virtual"})
			if err != nil {
				t.Fatal(err)
			}
			if err := rec.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = scenario.Verify(context.Background(), path, scenario.Options{})
			var e *scenario.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *scenario.Error", err)
			}
			if !strings.Contains(e.Error(), path) || strings.ContainsAny(e.Error()+e.Excerpt(), "\x1b") {
				t.Errorf("%q %q", e, e.Excerpt())
			}
		})
	}
}

func packets(t *testing.T, recording []byte) (all []*pcap.Packet) {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(recording), "recording")
	if err != nil {
		t.Fatal(err)
	}
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestDateDiffers(t *testing.T) {
	const a = "....HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nX: 1\r\n\r\n"
	for b, want := range map[string]bool{
		strings.Replace(a, "00:00:00", "00:00:07", 1): true,
		strings.Replace(a, "X: 1", "X: 2", 1):         false,
		strings.Replace(a, "200", "201", 1):           false,
		a[:30]:                                        true,
	} {
		if got := scenario.DateDiffers([]byte(a), []byte(b)); got != want {
			t.Errorf("%q: %v, want %v", b, got, want)
		}
	}
}
