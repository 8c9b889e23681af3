package faults_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

func TestCorruptNormalForm(t *testing.T) {
	for _, c := range []struct{ text, normal string }{
		{"in 20..39", "in 20..39"},
		{"in 20..39 bits 2", "bits 2 in 20..39"},
		{"in 20..", "in 20.."},
		{"in 20..65552", "in 20.."},
		{"in 020..20", "in 20"},
		{"in 0..", "in 0.."},
		{"in 65552..", "in 65552"},
		{"fixsum", "fixsum"},
		{"fixsum @66:4F>4e", "@66:4f>4e fixsum"},
		{"fixsum bits 1 in 1..2", "in 1..2 fixsum"},
		{"set ip.ttl=0x01", "set ip.ttl=1"},
		{"set ip.ttl=007", "set ip.ttl=7"},
		{"set ip.ttl=64,tcp.window=0", "set ip.ttl=64,tcp.window_size_value=0"},
		{"set tcp.window=0,ip.ttl=64", "set ip.ttl=64,tcp.window_size_value=0"},
		{"set ip.id=1", "set ip.id=0x0001"},
		{"set ip.tos=184", "set ip.dsfield=0xb8"},
		{"set ip.flags=2", "set ip.flags=0x2"},
		{"set eth.type=2048", "set eth.type=0x0800"},
		{"set eth.dst=02-00-00-00-00-0A", "set eth.dst=02:00:00:00:00:0a"},
		{"set ip.dst=10.0.0.1", "set ip.dst=10.0.0.1"},
		{"set ipv6.dst=2001:DB8:0:0:0:0:0:1", "set ipv6.dst=2001:db8::1"},
		{"set ipv6.dst=::ffff:10.0.0.1", "set ipv6.dst=::ffff:10.0.0.1"},
		{"set tcp.flags=SYN|ACK", "set tcp.flags=0x012"},
		{"set tcp.flags=ack|syn|syn", "set tcp.flags=0x012"},
		{"set tcp.seq=0XFFFFFFFF", "set tcp.seq=4294967295"},
		{"set tcp.checksum=0", "set tcp.checksum=0x0000"},
		{"flip ip.df", "flip ip.flags.df"},
		{"flip ip.df=1", "flip ip.flags.df"},
		{"flip ip.ttl=255", "flip ip.ttl"},
		{"flip ip.ttl=129", "flip ip.ttl=0x81"},
		{"flip tcp.flags=RST", "flip tcp.flags=0x004"},
		{"flip ipv6.dst=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "flip ipv6.dst"},
		{"flip ipv6.dst=::1", "flip ipv6.dst=::1"},
		{"flip eth.src=00:00:00:00:00:01", "flip eth.src=00:00:00:00:00:01"},
		{"add ip.ttl=-1", "add ip.ttl=-1"},
		{"add ip.ttl=+001", "add ip.ttl=1"},
		{"add tcp.seq=-4294967295", "add tcp.seq=-4294967295"},
		{"add ip.ttl=1 fixsum flip ip.df set ip.id=0", "set ip.id=0x0000 flip ip.flags.df add ip.ttl=1 fixsum"},
	} {
		r, err := faults.Parse("corrupt " + c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := r.String(); got != "corrupt "+c.normal {
			t.Errorf("%q prints as %q, want %q", c.text, got, c.normal)
		}
		again, err := faults.Parse(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q does not print as itself: %v, %v", r, again, err)
		}
	}
}

// malformedCorrupt are rules without "corrupt "; what is said of each stands in
// testdata/malformed-corrupt.golden.
var malformedCorrupt = []string{
	"in",
	"in from client",
	"in 20-39",
	"in ..39",
	"in 39..20",
	"in 20..x",
	"in 20..70000",
	"in 20..39 in 40",
	"in 20..39 @66=00",
	"set ip.ttl=1 bits 2",
	"@66=00 set ip.ttl=1",
	"fixsum fixsum",
	"fixsums",

	"set",
	"set from client",
	"set flip ip.df",
	"flip fixsum",
	"set ip.ttl",
	"set ip.ttl=",
	"set =1",
	"set ip.ttl = 1",
	"set ip.ttl= 1",
	"set ip.ttl =1",
	"set ip.ttl=1, ip.id=7",
	"set ip.ttl=1 ,ip.id=7",
	"set ip.ttl=1,,ip.id=7",
	"set ip.ttl=1 set ip.id=7",
	"set ip.ttl=1,ip.id=7,ip.ttl=2",
	"set ip.dscp=1,ip.dsfield.dscp=1",

	"set ttl=1",
	"set ip.tll=1",
	"set IP.TTL=1",
	"set ip=1",
	"set ip.addr=10.0.0.1",
	"set udp.port=53",
	"set tcp.windwo=0",
	"set http.host=a",
	"set ipv6.ttl=1",

	"set ip.ttl=256",
	"set ip.ttl=0x100",
	"set ip.ttl=-1",
	"set ip.ttl=one",
	"set ip.ttl=0x",
	"set ip.ttl=1.5",
	"set ip.ttl==1",
	"set ip.hdr_len=20",
	"set ip.frag_offset=65528",
	"set ip.flags.df=2",
	"set eth.type=0x10000",
	"set tcp.seq=99999999999999999999",
	"set ip.src=10.0.0",
	"set ip.src=2001:db8::1",
	"set ip.src=0x0a000001",
	"set ipv6.src=10.0.0.1",
	"set ipv6.src=fe80::1%eth0",
	"set eth.dst=02:00:00:00:00",
	"set eth.dst=server",
	"set tcp.flags=SYM",
	"set tcp.flags=SYN|",
	"set tcp.flags=SYN|NOPE|ACK",
	"set tcp.flags=0x1000",
	"set ip.proto=TCP",

	"flip",
	"flip ip.df=",
	"flip ip.df=0",
	"flip ip.df=2",
	"flip ip.src=0.0.0.0",
	"add ip.ttl",
	"add ip.ttl=0",
	"add ip.ttl=256",
	"add ip.ttl=-256",
	"add ip.ttl=0x10",
	"add ip.ttl=-",
	"add ip.src=1",
	"add eth.dst=1",

	"set ip.checksum=0 fixsum",
	"fixsum set ip.ttl=1,tcp.checksum=0",
	"flip udp.checksum fixsum set ip.ttl=1",
	"set ip.ttl=1 \u00e9 add ip.ttl=1",
}

func TestMalformedCorrupt(t *testing.T) {
	var b strings.Builder
	for _, text := range malformedCorrupt {
		text = "corrupt " + text
		r, err := faults.Parse(text)
		if err == nil {
			t.Errorf("%q was read as %q", text, r)
			continue
		}
		var e *faults.SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%q: %T: %v", text, err, err)
			continue
		}
		checkSyntaxError(t, text, e)
		fmt.Fprintf(&b, "%s%s\n\n", e.Excerpt(), e)
	}
	golden(t, "malformed-corrupt.golden", b.String())
}

// Random bits keep to their range, each as often as any other, also where that is
// the Ethernet header; a frame that ends in the range has fewer bytes to choose
// from, one that ends before has none.
func TestCorruptIn(t *testing.T) {
	frame := udp(client, server, 1, 1, 8) // 50 bytes
	for _, c := range []struct {
		in          string
		first, last int // of the frame's bytes
	}{
		{"20..39", 20, 39}, {"0..5", 0, 5}, {"12", 12, 12}, {"45..", 45, 49}, {"49..80", 49, 49}, {"50..", 50, 49}, {"65552", 50, 49},
	} {
		for _, n := range []int{1, 5, 1000} {
			l := newLAN(t, 3)
			rule := l.compile(fmt.Sprintf("corrupt bits %d in %s", n, c.in))
			total := (c.last + 1 - c.first) * 8
			want := min(n, total)
			const rounds = 2000
			times := make([]int, total)
			for range rounds {
				got := l.change(rule, frame)
				flipped := 0
				for i, b := range got {
					diff := b ^ frame[i]
					flipped += bits.OnesCount8(diff)
					if diff != 0 && (i < c.first || i > c.last) {
						t.Fatalf("%s: byte %d changed", rule.Rule(), i)
					}
					for k := range 8 {
						if diff>>k&1 != 0 {
							times[(i-c.first)*8+k]++
						}
					}
				}
				if flipped != want {
					t.Fatalf("%s: %d bits flipped, want %d", rule.Rule(), flipped, want)
				}
			}
			if unfit := rule.Unfit(); (unfit == rounds) != (total == 0) {
				t.Errorf("%s: unfit %d", rule.Rule(), unfit)
			}
			if want == total {
				continue // all of them, each time
			}
			low, high := binomialInterval(rounds, float64(want)/float64(total), 1e-6)
			for bit, k := range times {
				if k < low || k > high {
					t.Errorf("%s: bit %d flipped %d times, want %d to %d", rule.Rule(), bit, k, low, high)
				}
			}
		}
	}
}

// A frame that has not what the rule changes costs no allocation.
func TestUnfitFieldsAllocateNothing(t *testing.T) {
	for _, text := range []string{
		"corrupt set ipv6.hlim=1", "corrupt flip tcp.flags,ip.ttl fixsum", "corrupt @14:ff>fe fixsum", "corrupt in 900..999 fixsum", "corrupt add tcp.mss=1",
		"corrupt 0% set ip.ttl=1 fixsum",
	} {
		l := newLAN(t, 3)
		c := l.compile(text)
		f := &vswitch.Frame{Data: udp(client, server, 1, 1, 8), From: l.ports[client]}
		v := vswitch.Verdict{}
		if n := testing.AllocsPerRun(1000, func() { c.Judge(f, nil, &v) }); n != 0 {
			t.Errorf("%q: %v allocations per frame", text, n)
		}
	}
}

// drawFieldChange draws one item of a list, in any spelling.
func drawFieldChange(t *rapid.T, word string, f fieldSpec) string {
	b := rapid.SliceOfN(rapid.Byte(), len(f.mask)/2, len(f.mask)/2).Draw(t, "value")
	b[len(b)-1] |= unhex(f.mask)[len(b)-1] // so that it is not 0
	b[0] |= unhex(f.mask)[0]
	switch {
	case word == "flip" && rapid.Bool().Draw(t, "all"):
		return f.name
	case word == "add":
		return fmt.Sprintf("%s=%s%d", f.name, pick(t, "sign", "", "-", "+"), f.bigEndian(b))
	case !f.isAddress() && rapid.Bool().Draw(t, "hex"):
		return fmt.Sprintf("%s=0x%0*X", f.name, rapid.IntRange(1, 9).Draw(t, "digits"), f.bigEndian(b))
	case f.name == "tcp.flags":
		return f.name + "=" + pick(t, "flags", "syn", "SYN|ACK", "Fin|PSH|urg", "RST")
	}
	return f.name + "=" + f.text(b)
}

// drawCorrupt draws the text of a rule of the kind, as untidy as it may be.
func drawCorrupt(t *rapid.T) string {
	var options []string
	if rapid.Bool().Draw(t, "fixsum") {
		options = append(options, "fixsum")
	}
	specs := slices.DeleteFunc(slices.Clone(fieldSpecs), func(f fieldSpec) bool { return f.isChecksum() && options != nil })
	if rapid.Bool().Draw(t, "in?") {
		first := rapid.IntRange(0, 70).Draw(t, "first")
		options = append(options, fmt.Sprintf(pick(t, "range", "in %d..%d", "in %d..%d", "in %[2]d.."), first, first+rapid.IntRange(0, 9).Draw(t, "more")))
	} else {
		for _, word := range []string{"set", "flip", "add"} {
			n := rapid.IntRange(0, 3).Draw(t, word)
			var items []string
			for _, f := range rapid.Permutation(specs).Draw(t, "fields")[:n] {
				if word != "add" || !f.isAddress() {
					items = append(items, drawFieldChange(t, word, f))
				}
			}
			if items != nil {
				options = append(options, word+" "+strings.Join(items, ","))
			}
		}
	}
	return "corrupt " + strings.Join(rapid.Permutation(options).Draw(t, "order"), pick(t, "space", " ", "  ", "\n"))
}

// What a rule prints reads back as the same rule.
func TestCorruptRoundTrip(t *testing.T) {
	l := newLAN(t, 11)
	rapid.Check(t, func(t *rapid.T) {
		text := drawCorrupt(t)
		r, err := faults.Parse("x: " + text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := faults.Parse(r.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, r, err)
		}
		if again.String() != r.String() {
			t.Fatalf("%q prints as %q, that as %q", text, r, again)
		}
		keys := faults.Keys{Seed: 3, Occurrence: 1}
		a, b := r.Compile(keys), again.Compile(keys)
		for _, recipe := range recipes {
			m := recipe.make()
			if va, vb := l.change(a, m.data), l.change(b, m.data); !bytes.Equal(va, vb) {
				t.Fatalf("%q makes of %x\n%x, %q\n%x", text, m.data, va, r, vb)
			}
		}
	})
}

// FuzzCorrupt: whatever the rule and the frame, the edits fit the frame, and with
// fixsum a receiver finds no wrong checksum in a frame that changed.
func FuzzCorrupt(f *testing.F) {
	for i, text := range slices.Concat(malformedCorrupt, []string{
		"bits 3 fixsum", "set ip.ttl=1,tcp.window=0 fixsum", "add ip.len=1 fixsum", "flip ipv6.nxt fixsum", "@20=00 fixsum", "in 12..60 fixsum",
		"flip tcp.options.timestamp.tsval", "set vlan.id=7",
	}) {
		f.Add(text, recipes[i%len(recipes)].make().data)
	}
	l := newLAN(f, 1)
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		r, err := faults.Parse("corrupt " + text)
		if err != nil || len(data) < vswitch.HeaderLen || r.From() != "" || r.To() != "" {
			return
		}
		edits := l.judge(r.Compile(faults.Keys{}), data, client, -1).Edits
		got := edited(t, data, edits)
		if wrong := receive(got).wrong; len(edits) > 0 && strings.HasSuffix(r.String(), " fixsum") && len(wrong) > 0 {
			t.Fatalf("%s: wrong %v\nof  %x\ngot %x", r, wrong, data, got)
		}
	})
}
