package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
)

// drawTraffic draws open-loop frames of several flows from all ports.
func drawTraffic(t *rapid.T, n int) []sent {
	var traffic []sent
	for i := range number(t, "frames", 1, n) {
		from := number(t, "sender", client, spy)
		to := (from + number(t, "receiver", 1, 2)) % 3
		frame := udp(from, to, number(t, "flow", 0, 2), i, number(t, "payload", 0, 30))
		if number(t, "broadcast", 0, 9) == 0 {
			frame = broadcast(frame)
		}
		if number(t, "tag", 0, 4) == 0 {
			frame = tagged(frame, 5)
		}
		traffic = append(traffic, sent{from, frame})
	}
	return traffic
}

// hitsOf is what a rule did, by its number.
func (l *lan) hitsOf(number int) []string {
	var list []string
	for _, h := range l.hits {
		if rest, found := strings.CutPrefix(h, fmt.Sprintf("rule %d ", number)); found {
			list = append(list, rest)
		}
	}
	return list
}

// Whatever other rules are before or behind it, a rule does the same. (But for
// those that keep frames from entering at all, and those that move their way: a
// hub has none.)
func TestOtherRulesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		traffic := drawTraffic(rt, 40)
		rule := drawRule(rt, pick(rt, "name", "", "it"))
		before, behind, last := drawRule(rt, "other"), drawRule(rt, ""), drawRule(rt, "last")

		alone := newHub(t, seed)
		alone.install(rule)
		alone.run(traffic)
		among := newHub(t, seed)
		among.install(before, rule, behind)
		among.run(traffic)
		if got, want := among.hitsOf(2), alone.hitsOf(1); !slices.Equal(got, want) {
			rt.Fatalf("%q alone:\n%v\nbetween %q and %q:\n%v", rule, want, before, behind, got)
		}

		// Nor does it matter in which order they are; rules of equal text and no name
		// are told apart by theirs.
		if mustParse(t, behind).String() == mustParse(t, rule).String() {
			return
		}
		other := newHub(t, seed)
		other.install(last, behind, rule, before)
		other.run(traffic)
		for _, pair := range [][2]int{{1, 4}, {2, 3}, {3, 2}} {
			if got, want := other.hitsOf(pair[1]), among.hitsOf(pair[0]); !slices.Equal(got, want) {
				rt.Fatalf("of %q, %q and %q rule %d in another order:\n%v\nwas:\n%v", before, rule, behind, pair[0], got, want)
			}
		}
	})
}

// A rule that is removed during the run, or turned off, changes nothing for the others.
func TestRemovedRulesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		traffic := drawTraffic(rt, 30)
		rule, other := drawRule(rt, "it"), drawRule(rt, "other")
		stays, goes := newHub(t, seed), newHub(t, seed)
		stays.install(rule)
		stays.run(traffic)
		installed := goes.install(other, rule)
		goes.script(func() {
			for i, s := range traffic {
				switch i {
				case 5:
					installed[0].SetOn(false)
				case 10:
					installed[0].SetOn(true)
				case 15:
					installed[0].Remove()
				}
				goes.send(s.from, s.data)
				goes.sleep(time.Millisecond)
			}
			goes.sleep(time.Minute)
		})
		if got, want := goes.hitsOf(2), stays.hitsOf(1); !slices.Equal(got, want) {
			rt.Fatalf("%q alone:\n%v\nwith %q that comes and goes:\n%v", rule, want, other, got)
		}
	})
}

// without asks a rule about all frames, and the same rule about those that mine
// says; what is done to these must be the same.
func without(t *rapid.T, l *lan, text string, traffic []sent, mine func(s sent) bool) {
	keys := faults.Keys{Seed: rapid.Uint64().Draw(t, "seed"), Switch: "lan", Occurrence: 1}
	mixed, alone := mustParseRapid(t, text).Compile(keys), mustParseRapid(t, text).Compile(keys)
	for i, s := range traffic {
		at := time.Duration(i) * time.Millisecond
		for to := -1; to <= spy; to++ {
			if to == s.from {
				continue
			}
			seq := l.seq
			got := verdictText(l.judgeAt(mixed, s.data, s.from, to, at))
			if mine(s) {
				l.seq = seq
				if want := verdictText(l.judgeAt(alone, s.data, s.from, to, at)); got != want {
					t.Fatalf("frame %d, cable %d: %q among others does %s, alone %s", i, to, text, got, want)
				}
			}
			l.seq = seq // one frame on several cables
		}
		l.seq++
	}
}

// What is drawn for each frame by itself is the same whatever other flows share
// the path with it.
func TestOtherFlowsDoNotMatter(t *testing.T) {
	l := newLAN(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		text := generator{perFlow: true}.draw(t, "")
		without(t, l, text, drawTraffic(t, 100), func(s sent) bool {
			at := 35 // the lower byte of the source port
			if s.data[12] == 0x81 {
				at += 4
			}
			return s.from == client && s.data[at]%3 == 1
		})
	})
}

// Whatever a rule counts or remembers, it does so for each path by itself: what
// other ports send does not matter to what is done to client's frames. (A cable to
// a port that several send to is shared by them if it has a rate, and so is an
// amount of traffic: these rules are "from client".)
func TestOtherPathsDoNotMatter(t *testing.T) {
	l := newLAN(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		text := generator{fromClient: true}.draw(t, "")
		without(t, l, text, drawTraffic(t, 100), func(s sent) bool { return s.from == client })
	})
}

// For the models that do count the frames of a path, its other flows do matter:
// the two properties above do not hold for nothing.
func TestOtherFlowsOfAPathMatterToPlaces(t *testing.T) {
	for _, text := range []string{
		"drop nth 5", "drop every 5", "drop first 3", "drop gemodel 30% 30%", "drop markov a=0% b=100% a>b=30% b>a=30%",
		"drop 30% corr 50%", "delay 9ms jitter 5ms corr 50%", "rate 1mbit", "reorder 100% ahead 1ms gap 3", "delay places 5:1ms",
	} {
		l := newLAN(t, 1)
		mixed, alone := l.compile(text), l.compile(text)
		same := true
		for i := range 50 {
			at := time.Duration(i) * 100 * time.Microsecond
			frame := udp(client, server, i%2, i, 100)
			got := verdictText(l.judgeAt(mixed, frame, client, -1, at))
			if i%2 == 0 {
				same = same && got == verdictText(l.judgeAt(alone, frame, client, -1, at))
			}
		}
		if same {
			t.Errorf("%q does not count other flows of the path", text)
		}
	}
}
