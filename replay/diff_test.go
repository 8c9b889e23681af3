package replay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// TestDiff compares recordings of the same applications with other seeds, and of
// applications that differ.
func TestDiff(t *testing.T) {
	http := func(response string) pair {
		return pair{name: "http", client: asksHTTP(httpRequest), server: answersHTTP(len(httpRequest), response)}
	}
	dns := func(flags uint16, ids ...uint16) pair {
		var queries [][]byte
		for _, id := range ids {
			queries = append(queries, dnsText(id, 0x0100, "www.example"))
		}
		return pair{name: "dns", client: asksDNS(queries...), server: answersDNS(flags, 1)}
	}
	reset := pair{name: "reset", client: asksHTTP(httpRequest), server: serves(func(h *vnetif.Host, c *vnetif.Conn) {
		hear(c, len(httpRequest))
		c.Write([]byte(httpResponse))
		h.Sleep(ms)
		c.SetLinger(0)
		c.Close()
	})}
	mask, err := replay.MaskHeader("ETag")
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(old, new string) pair { return http(strings.Replace(httpResponse, old, new, 1)) }
	for _, m := range []struct {
		name  string
		a, b  pair
		masks []*replay.Mask
		want  string
		same  bool
	}{
		{"another seed", http(httpResponse), http(httpResponse), nil, "normalised: ephemeral-port 1, isn 2", true},
		{"parallel downloads", httpPair(6, 3, 20000, true), httpPair(6, 3, 20000, true), nil, "coverage: 6/6", true},
		{"another date", http(httpResponse), replaced("Thu, 01", "Fri, 02"), nil, "masked: http-date 1", true},
		{"another tag", http(httpResponse), replaced("abcd", "abce"), nil, "header ETag", false},
		{"another tag, masked", http(httpResponse), replaced("abcd", "abce"), []*replay.Mask{mask}, "masked: header ETag 1", true},
		{"less", http(httpResponse), http(httpResponse[:100]), nil, "sends 100 of 119 bytes", false},
		{"more", http(httpResponse), http(httpResponse + "!"), nil, "sends more than 119 bytes", false},
		{"a reset", http(httpResponse), reset, nil, "10.0.0.2:80 resets the connection in reset only", false},
		{"no reset", reset, http(httpResponse), nil, "10.0.0.2:80 resets the connection in reset only", false},
		{"an answer", dns(answered, 5), dns(nxdomain, 5), nil, "hint: the second file answers NXDOMAIN with 1 record, the first NOERROR", false},
		{"a datagram", dns(answered, 5, 6), dns(answered, 5), nil, "does not send 1 datagram", false},
		{"one more", dns(answered, 5), dns(answered, 5, 6), nil, "sends one more datagram", false},
		{"pings", pingPair(3, 100), pingPair(3, 100), nil, "coverage: 1/1", true},
		{"a ping more", pingPair(3, 100), pingPair(4, 100), nil, "sends one more datagram", false},
		{"another kind", http(httpResponse), dns(answered, 5), nil, "the conversation is not in dns", false},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			r, err := replay.Diff(record(t, m.a, 1), record(t, m.b, 2), replay.DiffOptions{Masks: m.masks})
			if err != nil {
				t.Fatal(err)
			}
			if s := text(t, r); !strings.Contains(s, m.want) || (r.Verdict == replay.Same) != m.same {
				t.Errorf("want %q, same %v:\n%s", m.want, m.same, s)
			}
		})
	}
}

// TestDiffOfBytesSentAgain compares connections in which a segment is sent twice.
func TestDiffOfBytesSentAgain(t *testing.T) {
	write := func(again string) *replay.Analysis {
		c := newCraft(t)
		one(func(k *conn) {
			k.open()
			k.say(0, seg{flags: "P", data: "what is it?\n"})
			k.say(0, seg{flags: "P", data: again, back: 12})
			k.talk()
			k.say(0, seg{back: 1, data: "X"}) // a keepalive
			k.close(0)
		})(c)
		return c.analysis("again " + again[:1])
	}
	for _, x := range []struct{ first, second, says string }{
		{"what is it?\n", "what is it?\n", ""},
		{"What is it?\n", "What is it?\n", ""},
		{"what is it?\n", "What is it?\n", "byte 0 differs where it is sent again, in again W only"},
		{"What is it?\n", "what is it?\n", "byte 0 differs where it is sent again, in again W only"},
		{"Whet is it?\n", "whet is it?\n", "byte 0 differs where it is sent again, in again W only"},
	} {
		r, err := replay.Diff(write(x.first), write(x.second), replay.DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if s := text(t, r); (r.Verdict == replay.Same) != (x.says == "") || !strings.Contains(s, "first divergence: "+x.says) && x.says != "" {
			t.Errorf("%q, %q: want %q:\n%s", x.first, x.second, x.says, s)
		}
	}
}

// TestDiffOfSharedPorts compares connections that draw each other's ports.
func TestDiffOfSharedPorts(t *testing.T) {
	write := func(questions map[int]int, order ...int) *replay.Analysis {
		c := newCraft(t)
		for _, port := range order {
			k := c.conn(fmt.Sprintf("10.0.0.1:%d", port), "10.0.0.2:80")
			k.open()
			k.ask(questions[port])
		}
		return c.analysis("ports")
	}
	first := write(map[int]int{1001: 1, 1002: 2, 1003: 3}, 1001, 1002, 1003)
	for _, x := range []struct {
		name   string
		second *replay.Analysis
		same   int
	}{
		{"the same ports", write(map[int]int{1001: 1, 1002: 2, 1003: 3}, 1001, 1002, 1003), 3},
		{"in another order", write(map[int]int{1001: 1, 1002: 2, 1003: 3}, 1003, 1001, 1002), 3},
		{"each other's ports", write(map[int]int{1001: 2, 1002: 3, 1003: 1}, 1001, 1002, 1003), 3},
		{"some of the same ports", write(map[int]int{1002: 1, 1003: 2, 1004: 3}, 1002, 1003, 1004), 3},
		{"a question that nobody asked", write(map[int]int{1001: 2, 1002: 3, 1003: 7}, 1001, 1002, 1003), 2},
	} {
		t.Run(strings.ReplaceAll(x.name, " ", "_"), func(t *testing.T) {
			r, err := replay.Diff(first, x.second, replay.DiffOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if same, of, _, _ := r.Coverage(); same != x.same || of != 3 || (r.Verdict == replay.Same) != (same == 3) {
				t.Errorf("want %d of 3:\n%s", x.same, text(t, r))
			}
		})
	}
}
