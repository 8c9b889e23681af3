package scenario_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// Rules that refuse frames are in no frame's comments: those that a script adds
// stay in the script, and no extracted rule takes a name of theirs.
func TestExtractedRulesBesideThoseThatRefuse(t *testing.T) {
	const text = `
hosts: {a: {ip: 10.0.0.1/24}, b: {ip: 10.0.0.2/24}}
faults:
  - "m: delay 1ms jitter 500us"
  - "m-1: mtu 1200 error from b"
script:
  - {at: 30ms, add: "m-2: mtu 600 error from a"}
  - {at: 70ms, off: m-2}
  - {at: 40ms, add: "gone: drop nth 2 from a"}
apps:
  echo: {host: b, udp-echo-server: {port: 7}}
  early: {host: a, udp-echo: {to: "b:7", size: 700B}}
  refused: {host: a, at: 50ms, udp-echo: {to: "b:7", size: 700B}}
  late: {host: a, at: 80ms, udp-echo: {to: "b:7", size: 700B}}
expect:
  early: {ok: 1}
  refused: {error: message too long}
  late: {ok: 1}
`
	parse := func() *scenario.Scenario {
		s, err := scenario.Parse([]byte(text), "test.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	res, first := record(t, parse())
	rules, err := scenario.ExtractFaults(func() (*pcap.Reader, error) { return pcap.NewReader(bytes.NewReader(first), "first") })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(rules, "m-1: mtu 1200 error from b") {
		t.Errorf("the rule that refuses is not among %q", rules)
	}
	exact := parse()
	if err := exact.SetFaults(rules); err != nil {
		t.Fatal(err)
	}
	again, _ := record(t, exact)
	for _, f := range append(res.Failures, again.Failures...) {
		t.Error(f)
	}
	if again.Frames != res.Frames || again.Virtual != res.Virtual {
		t.Errorf("with the extracted faults: %d frames in %v; want %d in %v", again.Frames, again.Virtual, res.Frames, res.Virtual)
	}
}
