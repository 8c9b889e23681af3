package filter_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/vnreplay/vnreplay/filter"
)

// manyTests is an expression of n tests that have nothing in common: each is of
// a byte of its own, and wants it zero.
func manyTests(n int) string {
	terms := make([]string, n)
	for i := range terms {
		terms[i] = fmt.Sprintf("ether[%d] = 0", 100+i)
	}
	return strings.Join(terms, " or ")
}

func TestEmptyMatchesAll(t *testing.T) {
	for _, expr := range []string{"", "  \t\r\n"} {
		f := compile(t, expr)
		for _, fr := range frames() {
			if !f.Match(fr.data) {
				t.Errorf("%q does not match frame %q", expr, fr.name)
			}
		}
		if f.String() != expr {
			t.Errorf("String is %q, want %q", f, expr)
		}
	}
}

// TestLongJumps compiles programs in which conditional jumps do not reach, and
// tries each of their tests and what lies behind them.
func TestLongJumps(t *testing.T) {
	for _, n := range []int{100, 126, 127, 128, 129, 200, 300, 1000} {
		one := compile(t, manyTests(n))
		none := compile(t, "arp or (ip and not ("+manyTests(n)+") and ether[14] = 0xff)")
		if _, err := bpf.NewVM(one.Instructions()); err != nil {
			t.Fatal(err)
		}
		data := []byte(strings.Repeat("\xff", 100+n))
		copy(data[12:], []byte{8, 0})
		if one.Match(data) || !none.Match(data) {
			t.Errorf("%d tests: no byte is zero, one %v, none %v", n, one.Match(data), none.Match(data))
		}
		for i := range n {
			data[100+i] = 0
			if !one.Match(data) || none.Match(data) {
				t.Errorf("%d tests: byte %d is zero, one %v, none %v", n, i, one.Match(data), none.Match(data))
			}
			data[100+i] = 0xff
		}
		data[14] = 0
		if none.Match(data) {
			t.Errorf("%d tests: the test behind them is not reached", n)
		}
		copy(data[12:], []byte{8, 6})
		if !none.Match(data[:14]) {
			t.Errorf("%d tests: the test before them does not jump over them", n)
		}
	}
}

func TestSameProgramEveryTime(t *testing.T) {
	for _, expr := range expressions(t) {
		a, err := filter.Compile(expr)
		if err != nil {
			continue
		}
		b := compile(t, expr)
		if fmt.Sprint(a.Instructions()) != fmt.Sprint(b.Instructions()) {
			t.Errorf("%s: compiles differently the second time", expr)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	f := compile(t, "tcp port 80 and tcp[13] & 2 != 0 or len + ip[2:2] > 100")
	list := frames()
	if n := testing.AllocsPerRun(10, func() {
		for _, fr := range list {
			f.Match(fr.data)
			f.MatchLen(fr.data, 2000)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConcurrentMatch(t *testing.T) {
	f := compile(t, "ip[2:2] + 14 = len and tcp")
	list := frames()
	var want []bool
	for _, fr := range list {
		want = append(want, f.Match(fr.data))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				for i, fr := range list {
					if f.Match(fr.data) != want[i] {
						t.Errorf("frame %q: another match beside others", fr.name)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestInstructionsAreTheCallers changes what Instructions returned.
func TestInstructionsAreTheCallers(t *testing.T) {
	f := compile(t, "ip")
	frame := frames()[0].data
	for i := range f.Instructions() {
		f.Instructions()[i] = bpf.RetConstant{}
	}
	got := f.Instructions()
	for i := range got {
		got[i] = bpf.RetConstant{}
	}
	if !f.Match(frame) {
		t.Error("the filter changed with its instructions")
	}
}

func FuzzCompile(f *testing.F) {
	for _, expr := range []string{
		"", "tcp port 80 or 443", "not host 10.0.0.1 and 10.0.0.2", "vlan 5 and mpls and ip6",
		"tcp[((tcp[12]&0xf0)>>2):4] = 0x47455420", "ether host aa-bb-cc-dd-ee-ff", "net 10 or 192.168.1",
		"ip6 net fe80::/10", "portrange http-443", "ip proto \\tcp", "- len ^ 3 % 7 <= ip[ip[0]]",
		"port ((80 or 90) or 100)", "llc rnr", "pppoes 7 and ip", "byte 0 & 1", "len << 32 = 0", "é", "\xff",
	} {
		f.Add(expr, []byte("\xaa\xbb\xcc\xdd\xee\xff\x02\x00\x00\x00\x00\x0a\x08\x00\x45\x00"), 100)
	}
	list := frames()
	f.Fuzz(func(t *testing.T, expr string, frame []byte, wireLen int) {
		if len(expr) > 2000 {
			return // long ones take long; TestLimits has them
		}
		c, err := filter.Compile(expr)
		if err != nil {
			e := err.(*filter.SyntaxError)
			if n := len([]rune(expr)); e.Column < 1 || e.Column > n+1 {
				t.Errorf("column %d of %d", e.Column, n)
			}
			if strings.Contains(e.Error(), "\n") || !strings.Contains(expr, e.Token) {
				t.Errorf("error %q about %q", e, e.Token)
			}
			return
		}
		vm, err := bpf.NewVM(c.Instructions())
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{frame, list[len(frame)%len(list)].data} {
			if got, want := c.Match(data), matches(t, vm, data); got != want {
				t.Errorf("match %v, on x/net/bpf %v", got, want)
			}
			c.MatchLen(data, wireLen)
		}
	})
}
