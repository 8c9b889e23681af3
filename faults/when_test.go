package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at is a frame at an instant.
type at struct {
	time time.Duration
	size int // 100 bytes if 0
	from int
}

// losses sends frames at their instants and returns the numbers of those, from 1, that
// do not reach all of their receivers on a hub, as ranges.
func losses(t *testing.T, rule string, frames []at) string {
	t.Helper()
	l := newHub(t, 1)
	l.install(rule)
	l.script(func() {
		for i, f := range frames {
			l.until(f.time)
			if f.size == 0 {
				f.size = 100
			}
			l.send(f.from, line(f.from, (f.from+1)%3, i+1, f.size))
		}
		l.sleep(time.Minute)
	})
	got := map[int]int{}
	for _, port := range []string{"client", "server", "spy"} {
		for _, a := range l.arrivals(port) {
			got[a.number]++
		}
	}
	var lost []int
	for i := range frames {
		if got[i+1] < 2 {
			lost = append(lost, i+1)
		}
	}
	return strings.TrimSpace(ranges(lost))
}

// around is frames a nanosecond before, at and after those given.
func around(times ...time.Duration) (frames []at) {
	for _, t := range times {
		for d := time.Duration(-1); d <= 1; d++ {
			if t+d >= 0 {
				frames = append(frames, at{time: t + d})
			}
		}
	}
	return frames
}

// A window has its beginning and not its end, to the nanosecond, wherever the rule is.
func TestWindowsAreHalfOpen(t *testing.T) {
	const ms = time.Millisecond
	frames := around(0, 10*ms, 20*ms, 30*ms) // 1 2, 3 4 5, 6 7 8, 9 10 11
	for when, want := range map[string]string{
		"":                           "1..11",
		"during 0s..1ns":             "1",
		"during 10ms..20ms":          "4..6",
		"during 10ms..20ms,30ms..":   "4..6 10..11",
		"during 10ms..20ms,20ms..":   "4..11",
		"during 10000001ns..30ms":    "5..9",
		"during 30000001ns..":        "11",
		"after 10ms":                 "4..11",
		"after 10ms for 10ms":        "4..6",
		"after 9999999ns for 1ns":    "3",
		"until 20ms":                 "1..6",
		"until 1ns":                  "1",
		"after 10ms until 30ms":      "4..9",
		"during 0s..20ms after 10ms": "4..6",
		"during 1h..":                "",
		"off":                        "",
		"off during 10ms..20ms":      "",
	} {
		for _, rule := range []string{"drop", "drop to all", "drop to server", "partition client", "down client", "down all"} {
			if rule == "partition client" || rule == "down client" || rule == "drop" {
				rule += ` if "greater 1"`
			}
			if got := losses(t, rule+" "+when, frames); got != want {
				t.Errorf("%q loses frames %s, want %s", rule+" "+when, got, want)
			}
		}
		// A cable that is up for a while is down for the rest of the time.
		if when == "" || strings.Contains(when, "off") {
			continue
		}
		down, up := losses(t, "down server "+when, frames), losses(t, "up server "+when, frames)
		if both := complement(down, len(frames)); up != both || down != want {
			t.Errorf("%s: down loses %s, want %s; up loses %s, want %s", when, down, want, up, both)
		}
	}
}

// complement is the ranges of 1 to n that are not in list.
func complement(list string, n int) string {
	in := map[int]bool{}
	for item := range strings.FieldsSeq(list) {
		var first, last int
		if k, _ := fmt.Sscanf(item, "%d..%d", &first, &last); k < 2 {
			last = first
		}
		for i := first; i <= last; i++ {
			in[i] = true
		}
	}
	var rest []int
	for i := 1; i <= n; i++ {
		if !in[i] {
			rest = append(rest, i)
		}
	}
	return strings.TrimSpace(ranges(rest))
}

// "after" an amount begins with the frame after the one that completes it, "for" a time
// ends that long after this one, to the nanosecond; "until" an amount ends with it.
func TestAmountsBeginAfterTheFrameThatCompletesThem(t *testing.T) {
	const ms = time.Millisecond
	var frames []at // of 1000 bytes each, a millisecond apart from 1ms on
	for i := 1; i <= 10; i++ {
		frames = append(frames, at{time: time.Duration(i) * ms, size: 1000})
	}
	// The fifth completes what is asked for at 5ms; these are around 5ms + 10ms.
	edge := append(frames, around(15*ms)...) // 11 12 13
	for when, want := range map[string]string{
		"after 5 frames":                       "6..13",
		"after 5 frames for 10ms":              "6..11",
		"after 5 frames for 10000001ns":        "6..12",
		"after 5 frames for 1ms":               "",
		"after 5 frames for 1000001ns":         "6",
		"after 5kB":                            "6..13",
		"after 4001B":                          "6..13",
		"after 5001B":                          "7..13",
		"after 5kB for 10ms":                   "6..11",
		"after 4500B for 10ms":                 "6..11",
		"after 13 frames":                      "",
		"until 5 frames":                       "1..5",
		"until 5kB":                            "1..5",
		"until 4001B":                          "1..5",
		"until 5001B":                          "1..6",
		"after 2 frames until 5kB":             "3..5",
		"after 5 frames until 5 frames":        "",
		"after 2 frames during 6ms..8ms":       "6..7",
		"until 7 frames during 6ms..":          "6..7",
		"after 2 frames for 10ms during 4ms..": "4..10",
		"after 2 frames for 10ms until 8500us": "3..8",
		"after 1 frame for 2ms until 2 frames": "2",
		"after 1 frame for 1h until 1GB off":   "",
		"after 1MB for 1s":                     "",
		"after 0.005MB for 0.01s":              "6..11",
	} {
		if got := losses(t, "drop "+when, edge); got != want {
			t.Errorf("%q loses %s, want %s", when, got, want)
		}
		if got, want := losses(t, "up client "+when, edge), complement(want, len(edge)); got != want && !strings.Contains(when, "off") {
			t.Errorf("\"up client %s\" loses %s, want %s", when, got, want)
		}
	}
}

// "after 1MB for 1s" begins with the frame after that which completes the megabyte, be
// frames of whatever size, and ends a second after that one.
func TestAfterAMegabyteForASecond(t *testing.T) {
	var frames []at
	for i := 1; i <= 700; i++ { // 1500 bytes: the 667th completes it, at 667ms
		frames = append(frames, at{time: time.Duration(i) * time.Millisecond, size: 1500})
	}
	frames = append(frames, around(1667*time.Millisecond)...) // 701 702 703
	if got := losses(t, "drop after 1MB for 1s", frames); got != "668..701" {
		t.Errorf("it loses %s", got)
	}
}

// Amounts count the frames that the rule is about, each once, on however many cables it
// is about them, and those that its filter leaves out not at all.
func TestAmountsCountFramesOnce(t *testing.T) {
	var frames []at
	for i := 1; i <= 12; i++ { // from client and spy in turn; each third one is larger
		f := at{time: time.Duration(i) * time.Millisecond, from: []int{spy, client}[i%2]}
		if i%3 == 0 {
			f.size = 300
		}
		frames = append(frames, f)
	}
	for rule, want := range map[string]string{
		"drop until 4 frames":                                 "1..4",
		"drop to all until 4 frames":                          "1..4", // each has two receivers
		"drop to all after 4 frames":                          "5..12",
		"drop from client until 3 frames":                     "1 3 5",
		"drop from client to all until 3 frames":              "1 3 5",
		"drop to server until 3 frames":                       "1..3",
		"drop to client until 3 frames":                       "2 4 6",
		"drop from spy to client until 3 frames":              "2 4 6",
		"partition client <-> server until 3 frames":          "1 3 5",
		"partition client until 3 frames":                     "1..3",
		"down all until 4 frames":                             "1..4",
		"down client until 4 frames":                          "1..4", // it sends some and is sent some
		"down server until 600B":                              "1..4", // 100+100+300+100
		`drop until 3 frames if "greater 200"`:                "3 6 9",
		`drop to all until 700B if "greater 200"`:             "3 6 9",
		`drop after 1 frame if "src host 10.0.0.3"`:           "4 6 8 10 12",
		`drop to all after 2 frames until 4 frames`:           "3..4",
		`drop to all nth 2 after 2 frames`:                    "5..6", // the second on each path: client's and spy's
		`drop every 2 after 2 frames if "src host 10.0.0.1"`:  "7 11",
		`drop vlan 5 until 4 frames`:                          "",
		`drop first 1 during 5500us..`:                        "6..7",
		`drop from client first 1 after 300B`:                 "5",
		`duplicate until 3 frames`:                            "",
		`drop to all until 4 frames if "not host 10.0.0.255"`: "1..4",
	} {
		if got := losses(t, rule, frames); got != want {
			t.Errorf("%q loses %s, want %s", rule, got, want)
		}
	}
	// Matched is once for each receiver, though an amount is counted once.
	l := newHub(t, 1)
	in := l.install("drop to all until 4 frames")
	l.run(numbered(10))
	if in[0].Matched() != 8 || in[0].Counts().Dropped != 4 {
		t.Errorf("matched %d, %+v; want 8, 4", in[0].Matched(), in[0].Counts())
	}
}

// A rule is turned on and off in a run, from one frame to the next. While it is off
// its places stand still; its amounts go on, as time does.
func TestRulesAreTurnedOnAndOff(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"drop", "1..4 9..12"},
		{"drop off", "9..12"},
		{"drop nth 2,5", "2 9"},
		{"drop off nth 2,5", "10"},
		{"drop after 3 frames", "4 9..12"},
		{"drop off after 3 frames", "9..12"},
		{"drop until 6 frames", "1..4"},
		{"drop after 2 frames for 8ms", "3..4 9"}, // from 2ms to 10ms
		{"drop during 3ms..11ms", "3..4 9..10"},
		{"down client off", "9..12"},
		{"up client until 11ms", "11..12"},
		{"up client until 11ms off", "11..12"},
		{"partition client <-> all off", "9..12"},
	} {
		l := newHub(t, 1)
		in := l.install(c.rule)[0]
		l.script(func() {
			for i := 1; i <= 12; i++ {
				l.until(time.Duration(i) * time.Millisecond)
				switch i {
				case 5:
					in.SetOn(false)
				case 9:
					in.SetOn(true)
				}
				l.send(client, line(client, server, i, 100))
			}
			l.sleep(time.Minute)
		})
		arrived := map[int]bool{}
		for _, a := range l.arrivals("server") {
			arrived[a.number] = true
		}
		var lost []int
		for i := 1; i <= 12; i++ {
			if !arrived[i] {
				lost = append(lost, i)
			}
		}
		if got := strings.TrimSpace(ranges(lost)); got != c.want {
			t.Errorf("%q loses %s, want %s", c.rule, got, c.want)
		}
	}
}
