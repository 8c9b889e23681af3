package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// order is the numbers of the frames in the order in which they arrived.
func order(list []arrival) string {
	var words []string
	for _, a := range list {
		words = append(words, fmt.Sprint(a.number))
	}
	return strings.Join(words, " ")
}

// numbered are n frames from client to server, from number 1.
func numbered(n int) []sent {
	var traffic []sent
	for i := 1; i <= n; i++ {
		traffic = append(traffic, sent{client, udp(client, server, 5000, i, 40)})
	}
	return traffic
}

// "behind N" lets just N frames pass, and the frame arrives a nanosecond after the last
// of them; frames that are held do not count, nor do those of other paths.
func TestFramesAreHeldBehindJustAsMany(t *testing.T) {
	for _, c := range []struct {
		rule, want string
		late       string // of frame 5
	}{
		{"reorder nth 5 behind 1", "1 2 3 4 6 5 7 8 9 10 11 12", "1.000001ms"},
		{"reorder nth 5 behind 3", "1 2 3 4 6 7 8 5 9 10 11 12", "3.000001ms"},
		{"reorder nth 5 behind 7", "1 2 3 4 6 7 8 9 10 11 12 5", "7.000001ms"},
		{"reorder nth 5..6 behind 2", "1 2 3 4 7 8 5 6 9 10 11 12", "3.000001ms"},
		{"reorder nth 5,7 behind 2", "1 2 3 4 6 8 5 9 7 10 11 12", "3.000001ms"},
		{"reorder nth 5 behind 3 to server", "1 2 3 4 6 7 8 5 9 10 11 12", "3.000001ms"},
		// Too few follow: it comes when it has waited long enough.
		{"reorder nth 5 behind 8", "1 2 3 4 6 7 8 9 10 11 12 5", "1s"},
		{"reorder nth 5 behind 9 within 2500us", "1 2 3 4 6 7 5 8 9 10 11 12", "2.5ms"},
		{"reorder nth 5 behind 2 within 1us", "1 2 3 4 5 6 7 8 9 10 11 12", "1µs"},
		{"reorder nth 5 behind 3 to spy", "1 2 3 4 5 6 7 8 9 10 11 12", "0s"},
	} {
		l := newHub(t, 1)
		in := l.install(strings.ReplaceAll(c.rule, "reorder ", "reorder from client "))
		traffic := numbered(12)
		l.script(func() {
			for i, s := range traffic {
				l.send(s.from, s.data)
				l.send(spy, udp(spy, server, 5000, 100+i, 40)) // passes nobody
				l.sleep(time.Millisecond)
			}
			l.sleep(time.Minute)
		})
		var got []arrival
		late := ""
		for _, a := range l.arrivals("server") {
			if a.number >= 100 {
				continue
			}
			got = append(got, a)
			if a.number == 5 {
				late = (a.at - cables - 4*time.Millisecond).String()
			}
		}
		if order(got) != c.want || late != c.late {
			t.Errorf("%q: %s, frame 5 late by %s\nwant %s, %s", c.rule, order(got), late, c.want, c.late)
		}
		if n := in[0].Counts().Reordered; n != uint64(1+strings.Count(c.rule, "..6")+strings.Count(c.rule, ",7")) {
			t.Errorf("%q: %d are counted", c.rule, n)
		}
	}
}

// Of many frames, held at random, each arrives behind just as many as the rule says, of
// those that are not held.
func TestHeldFramesAreDisplacedByTheirNumber(t *testing.T) {
	const frames = 1500
	for _, behind := range []int{1, 2, 5, 40} {
		rule := fmt.Sprintf("reorder 10%% behind %d", behind)
		l := newHub(t, 7)
		in := l.install(rule)
		l.run(numbered(frames))
		held := map[int]bool{}
		for _, h := range l.hits {
			var n int
			if _, err := fmt.Sscanf(h, "rule 1 frame %d", &n); err != nil {
				t.Fatal(err)
			}
			held[n] = true
		}
		low, high := binomialInterval(frames, 0.1, 1e-4)
		if n := int(in[0].Counts().Reordered); n != len(held) || n < low || n > high {
			t.Errorf("%q: %d counted, %d held, want %d to %d", rule, n, len(held), low, high)
		}
		got := l.arrivals("server")
		if len(got) != frames {
			t.Fatalf("%q: %d arrive", rule, len(got))
		}
		free, lastFree := 0, 0 // that arrived so far; and the last one's number
		for _, a := range got {
			if !held[a.number] {
				if a.number < lastFree {
					t.Errorf("%q: frame %d arrives after %d, and neither is held", rule, a.number, lastFree)
				}
				free, lastFree = free+1, a.number
				continue
			}
			before := 0 // free frames that were sent before it
			for n := 1; n < a.number; n++ {
				if !held[n] {
					before++
				}
			}
			if passed := free - before; passed != behind && frames-len(held)-before >= behind {
				t.Errorf("%q: frame %d arrives behind %d", rule, a.number, passed)
			}
		}
	}
}

// Frames that go ahead are not late, all others are: they pass as many as were sent in
// that time. With a gap at most one in so many goes ahead.
func TestFramesGoAhead(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"reorder nth 4 ahead 2500us", "1 4 2 3 5 6 7 8 9 10 11 12"},
		{"reorder every 4 ahead 30s", "4 8 12"},
		{"reorder every 4 ahead 10500us", "4 8 1 12 2 3 5 6 7 9 10 11"},
		{"reorder 100% ahead 30s gap 5", "5 10"},
		{"reorder nth 1,2,3,7,8,9 ahead 30s gap 3", "3 7"}, // 7 ends a round of 4, 8 and 9 are within one
		{"reorder ahead 10ms", "1 2 3 4 5 6 7 8 9 10 11 12"},
		{"reorder 0% ahead 10ms", "1 2 3 4 5 6 7 8 9 10 11 12"},
	} {
		l := newHub(t, 1)
		in := l.install(c.rule)
		l.run(numbered(12))
		var got []arrival
		for _, a := range l.arrivals("server") {
			if a.at < 20*time.Second {
				got = append(got, a)
			}
		}
		if order(got) != c.want {
			t.Errorf("%q: %s, want %s", c.rule, order(got), c.want)
		}
		late := uint64(0)
		for _, a := range l.arrivals("server") {
			if a.at-cables > time.Duration(a.number-1)*time.Millisecond {
				late++
			}
		}
		if n := in[0].Counts().Delayed; in[0].Matched() != 12 || n != late {
			t.Errorf("%q: %d counted, %d are late, matched %d", c.rule, n, late, in[0].Matched())
		}
	}
}

// Each copy arrives a gap after the one before, and all are counted.
func TestCopiesArriveAndAreCounted(t *testing.T) {
	const frames = 1000
	for _, c := range []struct {
		rule   string
		copies int
		gap    time.Duration
	}{
		{"duplicate 10%", 1, 0},
		{"duplicate 10% copies 3 gap 2500us", 3, 2500 * time.Microsecond},
		{"duplicate 10% copies 2 gap 1ms to server", 2, time.Millisecond},
	} {
		l := newHub(t, 9)
		in := l.install(c.rule)
		l.run(numbered(frames))
		times := map[int][]time.Duration{}
		for _, a := range l.arrivals("server") {
			times[a.number] = append(times[a.number], a.at)
		}
		copied := 0
		for n := 1; n <= frames; n++ {
			switch at := times[n]; len(at) {
			case 1:
			case 1 + c.copies:
				copied++
				for i := range at {
					if want := time.Duration(n-1)*time.Millisecond + cables + time.Duration(i)*c.gap; at[i] != want {
						t.Errorf("%q: frame %d arrives at %v, want %v", c.rule, n, at[i], want)
					}
				}
			default:
				t.Errorf("%q: frame %d arrives %d times", c.rule, n, len(at))
			}
		}
		low, high := binomialInterval(frames, 0.1, 1e-4)
		if n := int(in[0].Counts().Copied); n != copied || n < low || n > high {
			t.Errorf("%q: %d counted, %d seen, want %d to %d", c.rule, n, copied, low, high)
		}
		if n := l.ports[server].Counters().RxCopies; n != uint64(copied*c.copies) {
			t.Errorf("%q: the port counts %d copies of %d frames", c.rule, n, copied)
		}
	}
}
