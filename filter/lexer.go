package filter

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd     tokenKind = iota
	tokWord              // a word of the language; text is its canonical spelling
	tokRefused           // a word of tcpdump's language that is refused
	tokSymbol            // punctuation and operators
	tokNumber            // num is its value
	tokDotted            // 2 to 4 numbers with dots: IPv4, perhaps shortened
	tokIPv6
	tokMAC
	tokName // anything else that looks like a name
)

type token struct {
	kind tokenKind
	text string
	raw  string // as written
	num  uint32
	at   int // offset in bytes
}

func (t token) is(text string) bool {
	return (t.kind == tokWord || t.kind == tokSymbol) && t.text == text
}

// What a token may be. The longest match wins, as in libpcap's scanner, and
// the first of equally long ones: 1-2-3-4-5-6 is a MAC address, tcp-syn one
// word, 80-90 a name.
var (
	reName   = longest(`[A-Za-z0-9]([-_.A-Za-z0-9]*[.A-Za-z0-9])?`)
	reNumber = longest(number)
	reDotted = longest(number + `(\.` + number + `){1,3}`)
	reMAC    = longest(strings.NewReplacer("B2", `[0-9A-Fa-f]{2}`, "B", `[0-9A-Fa-f]{1,2}`, "W", `[0-9A-Fa-f]{4}`).
			Replace(`B(:B){5}|B(-B){5}|B(\.B){5}|W\.W\.W|(W){3}`))
	reNoMAC  = longest(`[0-9A-Fa-f]{1,2}:+([0-9A-Fa-f]{1,2}:+)+`)
	reEscape = longest(`\\[^ !()\n\t]+`)
	reV6Run  = longest(`[0-9A-Fa-f:.xX]+`)
)

const number = `([0-9]+|0[xX][0-9A-Fa-f]+)`

func longest(pattern string) *regexp.Regexp {
	re := regexp.MustCompile(`^(` + pattern + `)`)
	re.Longest()
	return re
}

var symbols = []string{">=", "<=", "!=", "==", "<<", ">>", "&&", "||",
	"+", "-", "*", "/", "%", ":", "[", "]", "!", "<", ">", "(", ")", "&", "|", "^", "="}

// canonical maps the spellings that mean the same.
var canonical = map[string]string{
	"&&": "and", "||": "or", "!": "not", "==": "=",
	"link": "ether", "length": "len", "es-is": "esis", "is-is": "isis",
}

// next reads the token that begins at or after c.at.
func (c *compiler) next() token {
	rest := strings.TrimLeft(c.expr[c.at:], " \r\n\t")
	c.at = len(c.expr) - len(rest)
	t := token{at: c.at}
	if rest == "" {
		return t
	}
	var n int
	consider := func(kind tokenKind, length int) {
		if length > n {
			t.kind, n = kind, length
		}
	}
	name := len(reName.FindString(rest))
	if _, known := words[rest[:name]]; known {
		consider(tokWord, name)
	} else if _, known := refusedWords[rest[:name]]; known {
		consider(tokRefused, name)
	}
	consider(tokMAC, len(reMAC.FindString(rest)))
	consider(tokNumber, len(reNumber.FindString(rest)))
	consider(tokDotted, len(reDotted.FindString(rest)))
	consider(tokIPv6, ipv6Length(rest))
	if noMAC := len(reNoMAC.FindString(rest)); noMAC > max(n, name) {
		c.tok = token{raw: rest[:noMAC], at: c.at}
		c.fail("not a MAC address")
	}
	if value, known := constants[rest[:name]]; known && name > n {
		t.num = value
		consider(tokNumber, name)
	}
	consider(tokName, name)
	consider(tokName, len(reEscape.FindString(rest)))
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			consider(tokSymbol, len(s))
		}
	}
	if n == 0 {
		_, n = utf8.DecodeRuneInString(rest)
		c.tok = token{raw: rest[:n], at: c.at}
		if rest[0] == '$' {
			c.unsupported("ARCnet addresses ($) are")
		}
		c.fail("this character has no meaning in a filter")
	}
	t.raw = rest[:n]
	t.text = strings.TrimPrefix(t.raw, `\`)
	if same, ok := canonical[t.raw]; ok {
		t.text = same
	}
	c.at += n
	if t.kind == tokNumber && t.num == 0 {
		t.num = c.parseNumber(t)
	}
	if t.kind == tokIPv6 {
		if _, err := netip.ParseAddr(t.text); err != nil {
			c.tok = t
			c.fail("not an IPv6 address")
		}
	}
	return t
}

// parseNumber reads decimal, octal (0...) and hexadecimal (0x...) numbers.
func (c *compiler) parseNumber(t token) uint32 {
	if _, known := constants[t.raw]; known {
		return 0
	}
	digits, base := t.raw, 10
	switch {
	case strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X"):
		digits, base = digits[2:], 16
	case digits[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		c.tok = t
		if base == 8 && strings.ContainsAny(digits, "89") {
			c.fail("a number that begins with 0 is octal and has no digits 8 and 9")
		}
		c.fail("the number does not fit in 32 bits")
	}
	return uint32(n)
}

// ipv6Length is the length of the longest beginning of s that has the form of
// an IPv6 address (its numbers may still be too large); 0 if none has.
func ipv6Length(s string) int {
	const longestForm = 64 // with digits to spare in an IPv4 ending
	run := reV6Run.FindString(s[:min(len(s), longestForm)])
	if strings.Count(run, ":") < 2 {
		return 0
	}
	for n := len(run); n >= 2; n-- {
		if hasIPv6Form(run[:n]) {
			return n
		}
	}
	return 0
}

var (
	reHex16 = regexp.MustCompile(`^[0-9A-Fa-f]{1,4}$`)
	reIPv4  = regexp.MustCompile(`^` + number + `(\.` + number + `){3}$`)
)

func hasIPv6Form(s string) bool {
	front, back, compressed := strings.Cut(s, "::")
	groups := 0 // of 16 bits
	count := func(part string, v4 bool) bool {
		if part == "" {
			return compressed
		}
		list := strings.Split(part, ":")
		for i, g := range list {
			switch {
			case reHex16.MatchString(g):
				groups++
			case v4 && i == len(list)-1 && reIPv4.MatchString(g):
				groups += 2
			default:
				return false
			}
		}
		return true
	}
	if !compressed {
		return count(front, true) && groups == 8
	}
	return count(front, false) && count(back, true) && groups <= 7
}
