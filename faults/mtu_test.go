package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// packet's frame has so many bytes after its Ethernet header.
func packet(from, n, size int) []byte { return line(from, (from+1)%3, n, size+14) }

// "mtu N error" gives the sender of a frame that is too long the error that a network card
// of this MTU does, inside its write; the frame never enters. It is counted, and matched.
func TestMTUErrorIsTheSenders(t *testing.T) {
	l := newHub(t, 1)
	in := l.install("small: mtu 1400 error from client")[0]
	l.script(func() {
		for i, size := range []int{100, 1400, 1401, 1500} {
			err := l.ports[client].Send(packet(client, i, size))
			var tooBig *vswitch.SizeError
			if size <= 1400 {
				if err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
				continue
			}
			if !errors.Is(err, vswitch.ErrTooBig) || !errors.As(err, &tooBig) || *tooBig != (vswitch.SizeError{Port: "client", Len: size + 14, MTU: 1400}) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		// A VLAN tag does not count against an MTU.
		if err := l.ports[client].Send(tagged(packet(client, 5, 1400), 7)); err != nil {
			t.Errorf("with a tag: %v", err)
		}
		if err := l.ports[client].Send(tagged(packet(client, 6, 1401), 7)); !errors.Is(err, vswitch.ErrTooBig) {
			t.Errorf("too long with a tag: %v", err)
		}
		l.send(server, packet(server, 9, 1500)) // it is not about server
		l.sleep(time.Second)
	})
	want := vswitch.RuleCounts{Refused: 3}
	if in.Counts() != want || in.Matched() != 6 || in.Unfit() != 0 {
		t.Errorf("%+v, matched %d, unfit %d; want %+v, 6, 0", in.Counts(), in.Matched(), in.Unfit(), want)
	}
	if n := l.ports[client].Counters().Oversize; n != 3 {
		t.Errorf("the port counts %d oversized frames", n)
	}
	if len(l.hits) != 0 || len(l.arrived) != 8 {
		t.Errorf("%d frames arrive, hits %v", len(l.arrived), l.hits)
	}
}

// refused sends a frame of 1000 bytes and a short one from each port now and then, under a
// rule, and says which are refused, as "port@ms".
func refused(t *testing.T, rule string, onFrom4Until6 bool) string {
	t.Helper()
	l := newHub(t, 1)
	in := l.install(rule)[0]
	var got []string
	l.script(func() {
		for ms := 0; ms <= 8; ms += 2 {
			l.until(time.Duration(ms) * time.Millisecond)
			if onFrom4Until6 {
				switch ms {
				case 4:
					in.SetOn(true)
				case 6:
					in.SetOn(false)
				}
			}
			for from, name := range []string{"client", "server"} {
				l.send(from, packet(from, ms, 100))
				err := l.ports[from].Send(packet(from, ms, 1000))
				if errors.Is(err, vswitch.ErrTooBig) {
					got = append(got, fmt.Sprintf("%s@%d", name, ms))
				} else if err != nil {
					t.Error(err)
				}
			}
		}
	})
	if n := in.Counts().Refused; n != uint64(len(got)) {
		t.Errorf("%q: %d are counted, %d refused", rule, n, len(got))
	}
	return strings.Join(got, " ")
}

// It is in force where and when other rules are.
func TestMTUErrorHasItsWhereAndWhen(t *testing.T) {
	const all = "client@0 server@0 client@2 server@2 client@4 server@4 client@6 server@6 client@8 server@8"
	for rule, want := range map[string]string{
		"mtu 999 error":                                      all,
		"mtu 1000 error":                                     "",
		"mtu 999 error from all":                             all,
		"mtu 999 error from server":                          "server@0 server@2 server@4 server@6 server@8",
		"mtu 999 error from spy":                             "",
		"mtu 999 error from client during 2ms..6ms":          "client@2 client@4",
		"mtu 999 error from client during 2000001ns..":       "client@4 client@6 client@8",
		"mtu 999 error from client until 6ms":                "client@0 client@2 client@4",
		"mtu 999 error from client after 2ms for 1ns":        "client@2",
		`mtu 999 error if "src host 10.0.0.2" during 8ms..`:  "server@8",
		`mtu 999 error if "tcp"`:                             "",
		"mtu 999 error vlan 5":                               "",
		`mtu 999 error if "greater 1015" from client`:        "",
		`mtu 999 error if "greater 1014" from client off`:    "",
		"mtu 999 error from server during 1ms..3ms,5ms..7ms": "server@2 server@6",
	} {
		if got := refused(t, rule, false); got != want {
			t.Errorf("%q refuses %q, want %q", rule, got, want)
		}
	}
	if got := refused(t, "mtu 999 error from client off", true); got != "client@4" {
		t.Errorf("turned on and off, it refuses %q", got)
	}
}

// Without "error" frames that are too long are lost on the way, and the recording says why.
func TestMTUIsSilent(t *testing.T) {
	for rule, want := range map[string]string{
		"mtu 1400":                    `rule 1 frame 3 to "": drop (mtu:1401/1400); rule 1 frame 5 to "": drop (mtu:1401/1400)`,
		"mtu 1400 from client":        `rule 1 frame 3 to "": drop (mtu:1401/1400)`,
		"mtu 1400 to server":          `rule 1 frame 3 to "server": drop (mtu:1401/1400)`,
		"mtu 1400 to spy":             `rule 1 frame 3 to "spy": drop (mtu:1401/1400); rule 1 frame 5 to "spy": drop (mtu:1401/1400)`,
		"mtu 99 during 0s..1ns":       `rule 1 frame 1 to "": drop (mtu:100/99)`,
		"mtu 1401":                    "",
		`mtu 50 if "vlan 7"`:          `rule 1 frame 4 to "": drop (mtu:1400/50)`,
		"mtu 1400 after 3 frames":     `rule 1 frame 5 to "": drop (mtu:1401/1400)`,
		"mtu 1400 until 3 frames":     `rule 1 frame 3 to "": drop (mtu:1401/1400)`,
		"mtu 1400 from server vlan 7": "",
	} {
		l := newHub(t, 1)
		in := l.install(rule)[0]
		l.run([]sent{
			{client, packet(client, 1, 100)}, {client, packet(client, 2, 1400)}, {client, packet(client, 3, 1401)},
			{client, tagged(packet(client, 4, 1400), 7)}, {server, packet(server, 5, 1401)},
		})
		if got := strings.Join(l.hits, "; "); got != want {
			t.Errorf("%q: %s\nwant %s", rule, got, want)
		}
		dropped := 0
		if want != "" {
			dropped = 1 + strings.Count(want, ";")
		}
		if c := in.Counts(); c.Dropped != uint64(dropped) || c.Refused != 0 {
			t.Errorf("%q: %+v", rule, c)
		}
	}
}

// Of two rules the first refuses; and a rule that refuses hides the frame from the others.
func TestRefusedFramesAreSeenByNoOtherRule(t *testing.T) {
	l := newHub(t, 1)
	in := l.install("drop from client nth 2", "mtu 900 error", "mtu 800 error")
	l.script(func() {
		for i, size := range []int{1000, 850, 100, 100, 100} {
			err := l.ports[client].Send(packet(client, i, size))
			if refused := size > 800; refused != errors.Is(err, vswitch.ErrTooBig) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		l.sleep(time.Second)
	})
	if got := order(l.arrivals("server")); got != "2 4" {
		t.Errorf("frames %s arrive", got)
	}
	if a, b := in[1].Counts().Refused, in[2].Counts().Refused; a != 1 || b != 1 || in[0].Matched() != 3 {
		t.Errorf("refused %d and %d, matched %d", a, b, in[0].Matched())
	}
}
