package faults_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// arrival is a frame that reached a port, by the number that udp wrote into it.
type arrival struct {
	at     time.Duration
	port   string
	number int
	size   int
}

// cables is how long a frame is on its way where nothing delays it.
const cables = 50 * time.Microsecond

// arrivals reads what lan noted.
func (l *lan) arrivals(port string) []arrival {
	l.t.Helper()
	var list []arrival
	for _, line := range l.arrived {
		f := strings.Fields(line)
		if f[1] != port {
			continue
		}
		at, err := time.ParseDuration(f[0])
		if err != nil {
			l.t.Fatal(err)
		}
		n, err := strconv.ParseUint(f[2][84:92], 16, 32)
		if err != nil {
			l.t.Fatal(err)
		}
		list = append(list, arrival{at, port, int(n), len(f[2]) / 2})
	}
	return list
}

// line is a frame of a whole length, with its headers.
func line(from, to, n, size int) []byte { return udp(from, to, 5000, n, size-42) }

// A cable that is offered more passes its rate, whatever the sizes of frames: within 1 %
// over the time of the run, and the last frame to the nanosecond.
func TestRatePassesItsRate(t *testing.T) {
	for _, c := range []struct {
		rate string
		bits float64
	}{{"56kbit", 56e3}, {"1mbit", 1e6}, {"10mbit", 10e6}, {"33333kbit", 33.333e6}, {"1gbit", 1e9}} {
		for _, size := range []int{64, 594, 1514} {
			for _, where := range []string{"", " from client", " to server"} {
				const frames = 200
				rule := "rate " + c.rate + where
				l := newHub(t, 1)
				in := l.install(rule)
				l.script(func() {
					for i := range frames {
						l.send(client, line(client, server, i, size))
					}
					l.sleep(time.Minute)
				})
				got := l.arrivals("server")
				if len(got) != frames {
					t.Fatalf("%q, %d bytes: %d frames arrive", rule, size, len(got))
				}
				elapsed := got[frames-1].at - cables
				passed := float64(frames*size*8) / elapsed.Seconds()
				if math.Abs(passed/c.bits-1) > 0.01 {
					t.Errorf("%q, %d bytes: %.0f bit/s", rule, size, passed)
				}
				if want := time.Duration(math.Ceil(float64(frames*size*8) * 1e9 / c.bits)); elapsed != want {
					t.Errorf("%q, %d bytes: the last frame has passed after %v, want %v", rule, size, elapsed, want)
				}
				if counts := in[0].Counts(); counts.Delayed != frames || counts.Dropped != 0 || in[0].Matched() != frames {
					t.Errorf("%q: %+v", rule, counts)
				}
			}
		}
	}
}

// Those who send to a port share its cable's rate; each sender's own cable is its own.
func TestRateIsOfACable(t *testing.T) {
	const frames, size = 100, 1000
	for rule, both := range map[string]time.Duration{
		"rate 8mbit":                 100 * time.Millisecond, // a millisecond a frame
		"rate 8mbit to server":       200 * time.Millisecond,
		"rate 8mbit to all":          200 * time.Millisecond,
		"rate 8mbit from client":     100 * time.Millisecond, // spy's is not limited
		"rate 8mbit from all to spy": 0,
	} {
		l := newLAN(t, 1)
		l.install(rule)
		l.script(func() {
			l.send(server, line(server, client, 0, 60)) // so that the switch knows it
			l.sleep(time.Second)
			for i := range frames {
				l.send(client, line(client, server, i, size))
				l.send(spy, line(spy, server, i, size))
			}
			l.sleep(time.Minute)
		})
		got := l.arrivals("server")
		if last := got[len(got)-1].at - time.Second - cables; len(got) != 2*frames || last != both {
			t.Errorf("%q: %d frames, the last after %v, want %v", rule, len(got), last, both)
		}
	}
}

// A burst passes at once, and never more: between any two arrivals no more than the burst
// and what the rate gives in that time; after a pause the bucket is full again, not more
// than full.
func TestBurstPassesAtOnce(t *testing.T) {
	const size, perFrame = 1000, time.Millisecond // at 8mbit
	l := newHub(t, 1)
	l.install("rate 8mbit burst 16kB from client")
	offer := func(n int) {
		for i := range n {
			l.send(client, line(client, server, i, size))
		}
	}
	l.script(func() {
		offer(60)
		l.sleep(44*time.Millisecond + 5*time.Millisecond) // the last has left, the bucket has 5 kB
		offer(20)
		l.sleep(10 * time.Second)
		offer(60)
		l.sleep(time.Minute)
	})
	got := l.arrivals("server")
	if len(got) != 140 {
		t.Fatalf("%d frames arrive", len(got))
	}
	for i := range got {
		for k := i; k < len(got); k++ {
			if bytes, most := (k-i+1)*size, 16_000+int((got[k].at-got[i].at)/time.Microsecond); bytes > most {
				t.Fatalf("from %v to %v %d bytes arrive, at most %d may", got[i].at, got[k].at, bytes, most)
			}
		}
	}
	for _, c := range []struct{ first, n, atOnce int }{{0, 60, 16}, {60, 20, 5}, {80, 60, 16}} {
		sent := got[c.first].at - cables
		for i := range c.n {
			want := time.Duration(max(0, i+1-c.atOnce)) * perFrame
			if late := got[c.first+i].at - cables - sent; late != want {
				t.Errorf("frame %d: %v late, want %v", c.first+i, late, want)
			}
		}
	}
}

// What finds no place in the queue is lost, and says what it found; the frame in
// transmission has none, and lost frames take nobody's.
func TestQueueHoldsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		rule   string
		passes int
		reason string
	}{
		{"rate 8mbit queue 10p", 11, "(queue:10p/10000B)"},
		{"rate 8mbit queue 5kB", 6, "(queue:5p/5000B)"},
		{"rate 8mbit queue 5999B", 6, "(queue:5p/5000B)"},
		{"rate 8mbit queue 999B", 1, "(queue:0p/0B)"},
		{"rate 8mbit queue 10p,5kB", 6, "(queue:5p/5000B)"},
		{"rate 8mbit queue 3p,5kB to server", 4, "(queue:3p/3000B)"},
		{"rate 8mbit burst 4kB queue 1p from client", 6, "(queue:1p/1000B)"},
	} {
		l := newHub(t, 1)
		in := l.install(c.rule)
		l.script(func() {
			for i := range 50 {
				l.send(client, line(client, server, i, 1000))
			}
			l.sleep(time.Second)
			l.send(client, line(client, server, 99, 1000)) // all have left: it passes
			l.sleep(time.Minute)
		})
		got := l.arrivals("server")
		if len(got) != c.passes+1 || got[len(got)-1].number != 99 || got[len(got)-2].number != c.passes-1 {
			t.Errorf("%q: %d frames pass, want %d", c.rule, len(got), c.passes+1)
		}
		if counts := in[0].Counts(); counts.Dropped != uint64(50-c.passes) {
			t.Errorf("%q: %+v", c.rule, counts)
		}
		reasons := 0
		for _, h := range l.hits {
			if strings.Contains(h, "drop") && strings.HasSuffix(h, c.reason) {
				reasons++
			}
		}
		if reasons != 50-c.passes {
			t.Errorf("%q: %d frames are lost for %s: %s", c.rule, reasons, c.reason, l.hits[len(l.hits)-2])
		}
	}
}

// Offered twice its rate for long, a cable passes its rate, with a queue that never holds
// more than it may: no frame is later than the whole queue before it.
func TestOverloadedRatePassesItsRate(t *testing.T) {
	l := newHub(t, 1)
	in := l.install("rate 8mbit queue 20p from client")
	const frames, size = 2000, 1000
	l.script(func() {
		for i := range frames {
			l.send(client, line(client, server, i, size))
			l.sleep(500 * time.Microsecond)
		}
		l.sleep(time.Minute)
	})
	got := l.arrivals("server")
	last := got[len(got)-1].at - cables
	if passed := float64(len(got)*size*8) / last.Seconds(); math.Abs(passed/8e6-1) > 0.01 {
		t.Errorf("%.0f bit/s", passed)
	}
	for _, a := range got {
		sent := time.Duration(a.number) * 500 * time.Microsecond
		if late := a.at - cables - sent; late <= 0 || late > 22*time.Millisecond {
			t.Errorf("frame %d is %v late", a.number, late)
		}
	}
	if c := in[0].Counts(); c.Dropped+uint64(len(got)) != frames || c.Frames != frames {
		t.Errorf("%d arrive, %+v", len(got), c)
	}
}

// A rate sees the frames that it is about, all others pass beside it.
func TestRateOfSomeFrames(t *testing.T) {
	l := newHub(t, 1)
	in := l.install(`rate 8kbit from client if "udp src port 5001"`)
	l.script(func() {
		for i := range 10 {
			l.send(client, udp(client, server, 5000+i%2, i, 58))
		}
		l.sleep(time.Minute)
	})
	for i, a := range l.arrivals("server") {
		want := cables
		if i >= 5 { // those of the other port come later: 100 bytes each
			want += time.Duration(i-4) * 100 * time.Millisecond
		}
		if odd := a.number%2 == 1; odd != (i >= 5) || a.at != want {
			t.Errorf("arrival %d: frame %d at %v, want %v", i, a.number, a.at, want)
		}
	}
	if fmt.Sprint(in[0].Matched(), in[0].Counts().Delayed) != "5 5" {
		t.Errorf("matched %d, %+v", in[0].Matched(), in[0].Counts())
	}
}
