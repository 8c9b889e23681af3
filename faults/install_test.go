package faults_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

func TestInstallRefusesUnknownPorts(t *testing.T) {
	l := newLAN(t, 1)
	for rule, want := range map[string]string{
		"drop 2% from clinet":        `fault rule "drop 2% from clinet": no port "clinet"; the ports are client, server, spy; did you mean "client"?`,
		"loss: drop from spy to web": `fault rule "loss: drop from spy to web": no port "web"; the ports are client, server, spy`,
	} {
		_, err := faults.Install(l.sw, []*faults.Rule{mustParse(t, "drop"), mustParse(t, rule)})
		var e *faults.PortError
		if !errors.As(err, &e) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if n := len(l.sw.Rules()); n != 0 {
		t.Errorf("%d rules were installed", n)
	}
	if err := mustParse(t, "drop from a to all").Check(); err == nil || !strings.HasSuffix(err.Error(), "there are none") {
		t.Errorf("got %v", err)
	}
	if err := mustParse(t, "drop from all to all").Check(); err != nil {
		t.Error(err)
	}
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("h%d", i))
	}
	if err := mustParse(t, "drop from a").Check(faults.Switch{Ports: many}); err == nil || !strings.Contains(err.Error(), "h18, h19 and 10 more") {
		t.Errorf("got %v", err)
	}
}

// Installed rules do on a switch what they say, and count it.
func TestInstalledRules(t *testing.T) {
	l := newLAN(t, 1)
	rules := l.install("lost: drop nth 2 from client", "duplicate nth 1 copies 2 gap 10ms to server", "flip: corrupt nth 3 @42=ff to all", "drop from spy")
	var traffic []sent
	for i := range 4 {
		traffic = append(traffic, sent{client, udp(client, server, 1, i, 4)})
	}
	traffic[3].data = broadcast(traffic[3].data)
	// The addresses are not learned before these frames: all are flooded.
	l.run(traffic)

	got := map[string]int{}
	for _, a := range l.arrived {
		f := strings.Fields(a)
		got[f[1]+" "+f[2][84:]]++
	}
	want := map[string]int{
		"server 00000000": 3, "spy 00000000": 1, // and 2 copies
		"server ff000002": 1, "spy ff000002": 1, // each receiver's third: the second counts, though it is lost
		"server 00000003": 1, "spy 00000003": 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("arrived: %v\nwant:    %v", got, want)
	}
	for i, w := range []struct {
		name                                string
		frames, dropped, copied, changed, m uint64
	}{{"lost", 1, 1, 0, 0, 4}, {"", 1, 0, 1, 0, 4}, {"flip", 1, 0, 0, 1, 8}, {"", 0, 0, 0, 0, 0}} {
		r, c := rules[i], rules[i].Counts()
		if r.Name() != w.name || r.Number() != i+1 || c.Frames != w.frames || c.Dropped != w.dropped || c.Copied != w.copied || c.Changed != w.changed || r.Matched() != w.m || r.Unfit() != 0 {
			t.Errorf("%v: number %d, name %q, %+v, matched %d, unfit %d; want %+v", r.Rule(), r.Number(), r.Name(), c, r.Matched(), r.Unfit(), w)
		}
	}
}

// Rules of equal text draw independently.
func TestEqualRulesDrawApart(t *testing.T) {
	l := newLAN(t, 1)
	l.install("drop 50% from client", "drop 1/2 from client")
	l.install("drop 50% from client") // also one that comes later
	var traffic []sent
	for i := range 64 {
		traffic = append(traffic, sent{client, udp(client, server, 1, i, 4)})
	}
	l.run(traffic)
	victims := map[string][]string{}
	for _, h := range l.hits {
		rule, frame, _ := strings.Cut(h, " frame ")
		victims[rule] = append(victims[rule], frame)
	}
	if len(victims) != 3 {
		t.Fatalf("hits of %d rules", len(victims))
	}
	for _, pair := range [][2]string{{"rule 1", "rule 2"}, {"rule 1", "rule 3"}, {"rule 2", "rule 3"}} {
		if slices.Equal(victims[pair[0]], victims[pair[1]]) {
			t.Errorf("%s and %s have the same victims: %v", pair[0], pair[1], victims[pair[0]])
		}
	}
}

func TestNamesAreUniqueOnASwitch(t *testing.T) {
	l := newLAN(t, 1)
	const want = `fault rule "a: corrupt": switch lan has a rule of that name already`
	a, again := mustParse(t, "a: drop"), mustParse(t, "a: corrupt")
	if _, err := faults.Install(l.sw, []*faults.Rule{a, again}); err == nil || err.Error() != want {
		t.Errorf("at once: %v", err)
	}
	installed := l.install("a: drop")
	if _, err := faults.Install(l.sw, []*faults.Rule{again}); err == nil || err.Error() != want {
		t.Errorf("one after the other: %v", err)
	}
	installed[0].Remove()
	if _, err := faults.Install(l.sw, []*faults.Rule{again}); err != nil {
		t.Errorf("after the first was removed: %v", err)
	}
}

func mustParseRapid(t *rapid.T, text string) *faults.Rule {
	r, err := faults.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Turning a rule off and on again changes nothing of what it draws for the frames
// it is on for, of what it counts by place, or of what it has seen pass.
func TestTurnedOffRulesKeepTheirCards(t *testing.T) {
	for _, text := range []string{"x: drop 30%", "x: delay 5ms jitter 2ms", "x: drop 30% after 20 frames", "x: corrupt 40%"} {
		var traffic []sent
		for i := range 100 {
			traffic = append(traffic, sent{client, udp(client, server, 5000+i%3, i, 20)})
		}
		hits := func(toggle bool) []string {
			l := newHub(t, 7)
			in := l.install(text)[0]
			for at, on := range map[time.Duration]bool{30 * time.Millisecond: false, 60 * time.Millisecond: true} {
				if toggle {
					l.node.StackClock().AfterFunc(at, func() { in.SetOn(on) })
				}
			}
			l.run(traffic)
			var out []string
			for _, h := range l.hits {
				var frame int
				fmt.Sscanf(h, "rule 1 frame %d", &frame)
				if frame <= 30 || frame > 61 {
					out = append(out, h)
				} else if toggle && frame > 31 && frame <= 60 {
					t.Errorf("%q, off: %s", text, h)
				}
			}
			return out
		}
		if on, toggled := hits(false), hits(true); !slices.Equal(on, toggled) {
			t.Errorf("%q, always on:\n%s\nturned off and on:\n%s", text, strings.Join(on, "\n"), strings.Join(toggled, "\n"))
		}
	}
}

// Behind a VLAN, an expression is about what stands behind the tag.
func TestExpressionsBehindAVLAN(t *testing.T) {
	l := newLAN(t, 1)
	plain := udp(client, server, 5000, 1, 20)
	tagged := slices.Insert(slices.Clone(plain), 12, 0x81, 0x00, 0x00, 0x07)
	twice := slices.Insert(slices.Clone(tagged), 12, 0x88, 0xa8, 0x00, 0x05)
	for _, c := range []struct {
		rule string
		want string
	}{
		{"drop vlan 7", "tagged"},
		{`drop vlan 7 if "udp port 53"`, "tagged"},
		{`drop vlan 7 if "tcp"`, ""},
		{`drop vlan 5 if "vlan 7"`, "twice"},
		{`drop vlan 5 if "vlan 7 and udp src port 5000"`, "twice"},
		{`drop if "udp"`, "plain"},
	} {
		rule := l.compile(c.rule)
		var got []string
		for _, f := range []struct {
			name string
			data []byte
		}{{"plain", plain}, {"tagged", tagged}, {"twice", twice}} {
			if l.judge(rule, f.data, client, -1).Drop {
				got = append(got, f.name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q hits %q, want %q", c.rule, got, c.want)
		}
	}
}

// Rules with one expression ask it once for a frame, and each is about the frames it
// matches, whatever is installed, off or removed besides.
func TestRulesShareWhatTheirExpressionMatches(t *testing.T) {
	l := newHub(t, 1)
	in := l.install(
		`odd: delay 1ms if "udp src port 5001"`, `odd-to: delay 2ms to all if "udp src port 5001"`, `even: delay 3ms if "udp src port 5000"`,
		`late: delay 4ms off if "udp src port 5001"`, `tagged: delay 5ms vlan 5`, `tagged-to: delay 6ms to server vlan 5`)
	more := l.install(`more: delay 7ms if "udp src port 5001"`)
	l.node.StackClock().AfterFunc(30*time.Millisecond+500*time.Microsecond, func() {
		in[0].Remove()
		in[3].SetOn(true)
	})
	l.run(openLoop(60))
	// Of 60 frames each second is of either port; the fifth of ten, of the even ones, is in a VLAN.
	for i, want := range []uint64{15, 60, 24, 15, 6, 6} {
		if got := in[i].Matched(); got != want {
			t.Errorf("%q matched %d, want %d", in[i].Rule(), got, want)
		}
	}
	if got := more[0].Matched(); got != 30 {
		t.Errorf("%q matched %d, want 30", more[0].Rule(), got)
	}
}

// A rule that names no switch is on the one that has its ports, or on all; it has its
// number everywhere.
func TestInstallAll(t *testing.T) {
	l := newLAN(t, 1)
	wan, err := l.world.NewSwitch(vswitch.SwitchConfig{Name: "wan"})
	if err != nil {
		t.Fatal(err)
	}
	var far *vswitch.Port
	for _, name := range []string{"farther", "far"} {
		if far, err = wan.Connect(vswitch.PortConfig{Name: name}, vswitch.EndpointFunc(func([]byte) {})); err != nil {
			t.Fatal(err)
		}
	}
	switches := []*vswitch.Switch{l.sw, wan}
	var rules []*faults.Rule
	for _, text := range []string{
		"delay 1ms from client", "delay 1ms from far", "any: delay 1ms", "on-lan: delay 1ms on lan", "on-wan: delay 1ms on wan", "towards: delay 1ms to farther on wan",
		"tell: mtu 100 error on lan",
	} {
		rules = append(rules, mustParse(t, text))
	}
	in, err := faults.InstallAll(switches, rules)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"drop from client to far":  `fault rule "drop from client to far": its ports are on different switches (client on lan, far on wan), and a rule is about the cables of one: name the router's port instead of the host beyond it`,
		"partition client <-> far": `fault rule "partition client <-> far": its ports are on different switches (client on lan, far on wan), and a rule is about the cables of one: name the router's port instead of the host beyond it`,
		"drop on wna":              `fault rule "drop on wna": no switch "wna"; the switches are lan, wan; did you mean "wan"?`,
		"drop on wan from client":  `fault rule "drop on wan from client": no port "client" on switch wan; the ports are farther, far`,
	} {
		_, err := faults.InstallAll(switches, []*faults.Rule{mustParse(t, "x: drop"), mustParse(t, text)})
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if got := len(l.sw.Rules()) + len(wan.Rules()); got != 2*len(rules) {
		t.Errorf("%d rules are installed", got)
	}
	if _, err := faults.Install(l.sw, []*faults.Rule{mustParse(t, "drop on wan")}); err == nil || !strings.Contains(err.Error(), "the only one is lan") {
		t.Errorf("%v", err)
	}
	l.node.StackClock().AfterFunc(0, func() {
		for range 3 {
			if err := far.Send(udp(server, client, 1, 1, 200)); err != nil { // to nobody in particular: flooded
				t.Error(err)
			}
		}
	})
	l.run([]sent{{client, udp(client, server, 1, 1, 20)}, {server, udp(server, client, 1, 1, 20)}})
	want := [][2]uint64{{1, 0}, {0, 3}, {2, 3}, {2, 0}, {0, 3}, {0, 3}, {2, 0}}
	for i, pair := range in {
		for k, one := range pair {
			if one.Number() != i+1 || one.Matched() != want[i][k] {
				t.Errorf("%q on %s: number %d, matched %d; want %d, %d", one.Rule(), switches[k].Name(), one.Number(), one.Matched(), i+1, want[i][k])
			}
		}
	}
}
