package filter_test

import (
	"strings"

	"pgregory.net/rapid"
)

// randomExpression makes expressions of the language, most of them with some
// meaning, some with none. depth bounds how far they nest.
func randomExpression(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.IntRange(1, 5).Draw(t, "terms")
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteString(pick(t, " and ", " or ", " && ", " || ", " and not ", " or not "))
				if rapid.IntRange(0, 7).Draw(t, "abbreviated") == 0 {
					b.WriteString(pick(t, "80", "443", "10.0.0.1", "2001:db8::1", "(80 or 53)", "not 22"))
					continue
				}
			}
			b.WriteString(pick(t, "", "", "", "not ", "! "))
			b.WriteString(randomTerm(t, depth))
		}
		return b.String()
	})
}

func pick(t *rapid.T, choices ...string) string {
	return rapid.SampledFrom(choices).Draw(t, "word")
}

func randomTerm(t *rapid.T, depth int) string {
	direction := func() string {
		return pick(t, "", "", "src ", "dst ", "src or dst ", "src and dst ")
	}
	switch rapid.IntRange(0, 13).Draw(t, "kind of term") {
	case 0:
		return pick(t, "", "ip ", "arp ") + direction() + "host " + pick(t, "10.0.0.1", "10.0.0.2", "192.168.1.1", "10.1")
	case 1:
		return direction() + "host " + pick(t, "2001:db8::1", "fe80::1", "::1", "::")
	case 2:
		return direction() + "net " + pick(t, "10", "192.168.1", "10.0.0.0/8", "172.16.0.0 mask 255.240.0.0", "2001:db8::/32", "0.0.0.0/0")
	case 3:
		return pick(t, "", "tcp ", "udp ", "sctp ") + direction() + "port " + pick(t, "80", "443", "53", "http", "domain", "0")
	case 4:
		return pick(t, "", "tcp ", "udp ") + direction() + "portrange " + pick(t, "1-100", "443-80", "53")
	case 5:
		return "ether " + pick(t, "host ", "src ", "dst ", "src and dst ") + pick(t, "aa:bb:cc:dd:ee:ff", "ff:ff:ff:ff:ff:ff", "2:0:0:0:0:a")
	case 6, 7:
		return pick(t, "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6", "sctp", "igmp", "esp", "stp", "ipx", "iso", "l1", "atalk", "llc", "llc u")
	case 8:
		return pick(t, "ip proto ", "ip6 proto ", "proto ") + pick(t, "6", "17", "58", "\\tcp", "\\udp")
	case 9:
		return pick(t, "broadcast", "multicast", "ip multicast", "ip6 multicast", "less 60", "greater 60", "ip broadcast")
	case 10:
		return pick(t, "vlan", "vlan 100", "vlan 5", "mpls", "mpls 100", "pppoes", "byte 12 = 8")
	case 11:
		if depth > 0 {
			return "(" + randomExpression(depth-1).Draw(t, "in parentheses") + ")"
		}
	}
	return randomArith(t, 3) + pick(t, " = ", " != ", " > ", " < ", " >= ", " <= ") + randomArith(t, 1)
}

func randomArith(t *rapid.T, depth int) string {
	number := func() string {
		return pick(t, "0", "1", "2", "4", "6", "8", "13", "20", "32", "80", "0xf0", "255", "0x800", "tcpflags", "tcp-syn", "len")
	}
	if depth == 0 {
		return number()
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind of number") {
	case 0:
		return number()
	case 1:
		return "(" + randomArith(t, depth-1) + ")"
	case 2, 3:
		return pick(t, "ether", "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6") +
			"[" + pick(t, number(), randomArith(t, depth-1)) + pick(t, "", ":1", ":2", ":4") + "]"
	case 4:
		return "- " + randomArith(t, depth-1)
	}
	return randomArith(t, depth-1) + pick(t, " + ", " - ", " * ", " / ", " % ", " & ", " | ", " ^ ", " << ", " >> ") + randomArith(t, depth-1)
}
