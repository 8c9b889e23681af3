package filter_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vnreplay/vnreplay/filter"
)

func syntaxError(t testing.TB, expr string) *filter.SyntaxError {
	t.Helper()
	f, err := filter.Compile(expr)
	var e *filter.SyntaxError
	if !errors.As(err, &e) {
		t.Fatalf("%.80s: error %v, want a *SyntaxError", expr, err)
	}
	if f != nil {
		t.Errorf("%.80s: a filter beside the error", expr)
	}
	return e
}

func TestErrors(t *testing.T) {
	for _, want := range []filter.SyntaxError{
		{Expr: "tcp prot 80", Column: 5, Token: "prot",
			Msg: `host, net, port, proto or another qualifier was expected after "tcp"; did you mean "port"?`},
		{Expr: "ip AND tcp", Column: 4, Token: "AND",
			Msg: `host, net, port, proto or another qualifier was expected after "ip"; did you mean "and"?`},
		{Expr: "tpc port 80", Column: 1, Token: "tpc",
			Msg: `not a word of the language; a name needs host, net, port or the like before it; did you mean "tcp"?`},
		{Expr: "é", Column: 1, Token: "é", Msg: "this character has no meaning in a filter"},
		{Expr: "host é", Column: 6, Token: "é", Msg: "this character has no meaning in a filter"},
		{Expr: "tcp port 80, 443", Column: 12, Token: ",", Msg: "this character has no meaning in a filter"},
		{Expr: "tcp\tand ", Column: 9, Msg: "the expression ends too early: an operand was expected"},
		{Expr: "(tcp", Column: 5, Msg: `the expression ends too early: ")" was expected`},
		{Expr: "tcp)", Column: 4, Token: ")", Msg: `"and", "or" or the end was expected`},
		{Expr: "tcp tcp", Column: 5, Token: "tcp", Msg: `"and", "or" or the end was expected`},
		{Expr: "80", Column: 1, Token: "80", Msg: "an address needs host, net, port, src or the like before it"},
		{Expr: "ip or 80", Column: 7, Token: "80", Msg: "an address needs host, net, port, src or the like before it"},
		{Expr: "ip proto tcp", Column: 10, Token: "tcp",
			Msg: `a name or address was expected; to use this word as a name write \tcp`},
		{Expr: "host www.example.com", Column: 6, Token: "www.example.com",
			Msg: "host names are not supported: nothing is looked up; write an address"},
		{Expr: "port htpt", Column: 6, Token: "htpt",
			Msg: `unknown service; a number is always understood; did you mean "http"?`},
		{Expr: "ip proto grr", Column: 10, Token: "grr",
			Msg: `unknown protocol; a number is always understood; did you mean "gre"?`},
		{Expr: "udp port http", Column: 10, Token: "http", Msg: `the service "http" is one of tcp`},
		{Expr: "tcp port ntp", Column: 10, Token: "ntp", Msg: `the service "ntp" is one of udp`},
		{Expr: "icmp port 7", Column: 11, Token: "7", Msg: `"icmp" has no ports: tcp, udp and sctp have`},
		{Expr: "port 65536", Column: 6, Token: "65536", Msg: "a port is no greater than 65535"},
		{Expr: "port 1.2.3.4", Column: 6, Token: "1.2.3.4", Msg: "an IPv4 address is no port, port range or protocol"},
		{Expr: "tcp host 1.2.3.4", Column: 10, Token: "1.2.3.4",
			Msg: `"tcp" does not go with an IPv4 host: ip, arp and rarp do`},
		{Expr: "ip host ::1", Column: 9, Token: "::1", Msg: `"ip" does not go with an IPv6 address: ip6 does`},
		{Expr: "host 1.2.3.400", Column: 6, Token: "1.2.3.400",
			Msg: `not an IPv4 address: "400" is not within 0 to 255`},
		{Expr: "net 10.0.0.1/8", Column: 5, Token: "10.0.0.1",
			Msg: "bits of the address are set that the mask leaves out"},
		{Expr: "host 10.0.0.0/8", Column: 6, Token: "10.0.0.0", Msg: "a mask needs net before the address"},
		{Expr: "host 0:1:2:3:4:5", Column: 6, Token: "0:1:2:3:4:5",
			Msg: "a MAC address needs ether host, ether src or ether dst before it"},
		{Expr: "ether host 0:1:2:3:4", Column: 12, Token: "0:1:2:3:", Msg: "not a MAC address"},
		{Expr: "vlan 4096", Column: 6, Token: "4096", Msg: "VLAN number 4096 is greater than 4095"},
		{Expr: "mpls and vlan", Column: 10, Token: "vlan", Msg: "a VLAN tag cannot be matched after mpls"},
		{Expr: "mpls and arp", Column: 10, Token: "arp", Msg: "only ip and ip6 can be told apart after mpls"},
		{Expr: "ip[0:3] = 1", Column: 3, Token: "[", Msg: "the size of what is read must be 1, 2 or 4, not 3"},
		{Expr: "ip[0] / 0 = 1", Column: 7, Token: "/",
			Msg: "division by zero: the divisor begins with the number 0"},
		{Expr: "ip[0] << 32 = 1", Column: 7, Token: "<<",
			Msg: "shift by more than 31 bits: the right side begins with the number 32"},
		{Expr: "esp[0] = 1", Column: 4, Token: "[", Msg: "esp[...] is not among what can be looked into"},
		{Expr: "tcp[13]", Column: 8, Msg: "a comparison was expected"},
		{Expr: "tcp[13] and ip", Column: 9, Token: "and", Msg: "a comparison was expected"},
		{Expr: "len = 4294967296", Column: 7, Token: "4294967296", Msg: "the number does not fit in 32 bits"},
		{Expr: "len = 089", Column: 7, Token: "089",
			Msg: "a number that begins with 0 is octal and has no digits 8 and 9"},
		{Expr: "ip and not ip", Column: 1, Msg: "the expression matches no frame at all"},
		{Expr: "wlan type mgt", Column: 1, Token: "wlan", Msg: "link layers other than Ethernet are not supported"},
		{Expr: "ip and type mgt", Column: 8, Token: "type", Msg: "the words for 802.11 are not supported"},
		{Expr: "port ((80 or 90) or 100)", Column: 18, Token: "or", Msg: `")" was expected`},
		{Expr: "port ((80 or 90))", Column: 6, Token: "(", Msg: "an address list takes one pair of parentheses"},
	} {
		if diff := cmp.Diff(want, *syntaxError(t, want.Expr)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", want.Expr, diff)
		}
	}
}

// TestErrorLine makes sure that an error is one line of bearable length.
func TestErrorLine(t *testing.T) {
	for _, expr := range []string{
		"tcp\nand\nport foo", strings.Repeat("tcp or ", 1000) + "foo", strings.Repeat("é", 1000), "ip \x00\xff",
	} {
		line := syntaxError(t, expr).Error()
		if strings.ContainsAny(line, "\n\r\x00") || len(line) > 1000 || !utf8.ValidString(line) {
			t.Errorf("%q", line)
		}
	}
}

// TestLimits gives Compile what is too much, in every way that comes to mind:
// each must be refused for that reason, and soon.
func TestLimits(t *testing.T) {
	const many = 10000
	for _, tt := range []struct{ name, expr, want string }{
		{"length", strings.Repeat(" ", 64<<10+1), "no more than 65536 bytes"},
		{"parentheses", strings.Repeat("(", many) + "ip" + strings.Repeat(")", many), "nested more than 500 deep"},
		{"open parentheses", strings.Repeat("(", many), "nested more than 500 deep"},
		{"address parentheses", "port " + strings.Repeat("(", many), "nested more than 500 deep"},
		{"vlan parentheses", "vlan " + strings.Repeat("(", many), "a number was expected"},
		{"not", strings.Repeat("not ", many) + "ip", "nested more than 500 deep"},
		{"address not", "host " + strings.Repeat("not ", many) + "10.0.0.1", "nested more than 500 deep"},
		{"minus", "1 = " + strings.Repeat("- ", many) + "1", "nested more than 500 deep"},
		{"index", strings.Repeat("ip[", many), "nested more than 500 deep"},
		{"right recursion", "1" + strings.Repeat(" ^ 1", many) + " = 1", "more than 16 intermediate results"},
		{"tests", "l1" + strings.Repeat(" or l2", many), "too many tests"},
		{"scratch words", strings.Repeat("ip[0] + (", 20) + "1" + strings.Repeat(")", 20) + " = 1",
			"more than 16 intermediate results"},
		{"instructions", manyTests(2100), "the program has"},
	} {
		if e := syntaxError(t, tt.expr); !strings.Contains(e.Msg, tt.want) {
			t.Errorf("%s: got %q, want something with %q", tt.name, e.Msg, tt.want)
		}
	}
}
