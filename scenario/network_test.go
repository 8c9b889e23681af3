package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// twoLANs is a scenario of two switches and the router between them.
const twoLANs = `
seed: 7
switches: {lan: learning, wan: hub}
hosts:
  client: {switch: lan, ip: 10.0.0.1/24, gateway: 10.0.0.254}
  server: {switch: wan, ip: 10.9.0.1/24, gateway: 10.9.0.254, mtu: 1300}
routers:
  gw:
    interfaces:
      lan: {ip: 10.0.0.254/24}
      outside: {switch: wan, ip: 10.9.0.254/24, mtu: 1300}
links:
  gw.outside: {latency: 5ms}
faults:
  - "loss: drop 3% from gw.outside"
  - "late: delay 1ms on lan"
  - "twice: duplicate 20%"
  - "off-lan: drop on lan off"
script:
  - {at: 20ms, add: "added: delay 2ms from server"}
  - {at: 30ms, off: twice}
  - {at: 40ms, down: gw.outside}
  - {at: 90ms, up: gw.outside}
apps:
  web: {host: server, http-server: {files: {/big: random 200kB}}}
  get: {host: client, http-get: {url: "http://server/big", times: 2}}
  ping: {host: gw, ping: {to: server}}
expect:
  get: {ok: 2, sha256: served}
`

// Each switch has its recording, all have one clock and one set of packet ids, rules have
// the same numbers in all; and each is verified by itself.
func TestSeveralSwitches(t *testing.T) {
	s := parse(t, twoLANs)
	res, data := recordAll(t, s)
	if !res.OK() {
		t.Fatalf("%v", res.Failures)
	}
	if _, again := recordAll(t, s); !slices.EqualFunc(data, again, bytes.Equal) {
		t.Error("two runs differ")
	}
	ids, of, frames, hits := map[uint64]bool{}, []map[uint64]bool{{}, {}}, uint64(0), map[int]uint64{}
	for i, b := range data {
		r, err := pcap.NewReader(bytes.NewReader(b), "recording")
		if err != nil {
			t.Fatal(err)
		}
		meta, _ := r.Meta()
		if want := s.SwitchNames()[i]; meta.Switch != want || meta.Scenario != s.Effective() {
			t.Errorf("recording %d is of switch %q, want %q", i, meta.Switch, want)
		}
		last, n := uint64(0), uint64(0)
		for p, err := range r.Packets() {
			if err != nil {
				t.Fatal(err)
			}
			if p.ID <= last || ids[p.ID] {
				t.Fatalf("%s: packet id %d after %d", meta.Switch, p.ID, last)
			}
			last, ids[p.ID], of[i][p.ID] = p.ID, true, true
			n++
			fate, err := pcap.ParseFate(p.Comments)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[int]bool{}
			for _, f := range fate.Faults {
				if !seen[f.Rule] {
					hits[f.Rule]++
				}
				seen[f.Rule] = true
			}
		}
		var names []string
		for _, iface := range r.Interfaces() {
			names = append(names, iface.Name)
		}
		if want := [][]string{{"client", "gw.lan"}, {"server", "gw.outside"}}[i]; !slices.Equal(names, want) {
			t.Errorf("%s has the ports %v, want %v", meta.Switch, names, want)
		}
		if sw := res.Switches[i]; sw.Name != meta.Switch || sw.Frames != n {
			t.Errorf("the result says %+v, the recording of %s has %d frames", sw, meta.Switch, n)
		}
		frames += n
	}
	if frames != res.Frames || uint64(len(ids)) != frames {
		t.Errorf("%d frames recorded, %d in the result", frames, res.Frames)
	}
	for _, r := range res.Rules {
		if hits[r.Number] != r.Frames {
			t.Errorf("rule %d affected %d frames of the recordings, and %d says the result", r.Number, hits[r.Number], r.Frames)
		}
		if r.Frames == 0 && r.Name != "off-lan" || r.Name == "off-lan" && r.Matched > 0 {
			t.Errorf("rule %+v", r)
		}
	}
	dir := t.TempDir()
	for i, b := range data {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		v, err := scenario.Verify(context.Background(), path, scenario.Options{})
		if err != nil || v.Difference != nil || v.Run != "" || v.Frames != len(of[i]) {
			t.Errorf("switch %d: %+v, %v", i, v, err)
		}
	}
}

// The faults of a run are extracted from the recordings of its switches together, and
// give the same run.
func TestExtractFromSeveralSwitches(t *testing.T) {
	s := parse(t, twoLANs)
	_, data := recordAll(t, s)
	opener := func(b []byte) scenario.Opener {
		return func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(b), "r.pcapng") }
	}
	rules, err := scenario.ExtractFaults(opener(data[0]), opener(data[1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetFaults(rules); err != nil {
		t.Fatal(err)
	}
	_, again := recordAll(t, s)
	for i := range data {
		if before, after := arrivals(t, data[i]), arrivals(t, again[i]); before != after {
			t.Errorf("switch %d: other frames arrive:\n%s\nbefore:\n%s", i, after, before)
		}
	}
	if _, err := scenario.ExtractFaults(opener(data[0]), opener(data[0])); err == nil || !strings.Contains(err.Error(), "a second recording of the same switch") {
		t.Errorf("%v", err)
	}
	if _, err := scenario.ExtractFaults(opener(data[0]), opener(again[1])); err == nil || !strings.Contains(err.Error(), "not of the same run") {
		t.Errorf("%v", err)
	}
}

// arrivals are the frames that arrive on a switch, each with its time and receiver.
func arrivals(t *testing.T, recording []byte) string {
	t.Helper()
	var b strings.Builder
	r, err := pcap.NewReader(bytes.NewReader(recording), "recording")
	if err != nil {
		t.Fatal(err)
	}
	for d, err := range pcap.Deliveries(r) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%v %d %x\n", d.Time, d.Interface, d.Data)
	}
	return b.String()
}

// Of a recording it has to be known which of the switches it is of, and of one only.
func TestRecordingsAreOfOneSwitch(t *testing.T) {
	s := parse(t, twoLANs)
	for want, name := range map[string]string{
		"its scenario has 2 switches, and it does not say of which one it is":               "",
		"it says that it is of switch other, which its scenario does not have":              "other",
		"it is merged from recordings of several switches (client is on lan): take each by": "wan",
	} {
		metas := s.Metas()
		metas[0].Switch = name
		_, data := recordAs(t, s, metas)
		path := filepath.Join(t.TempDir(), "r.pcapng")
		if err := os.WriteFile(path, data[0], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := scenario.Verify(context.Background(), path, scenario.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("verify: %v", err)
		}
		_, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return pcap.Open(path) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("extract: %v", err)
		}
	}
}
