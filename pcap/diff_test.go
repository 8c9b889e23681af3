package pcap_test

import (
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
)

func TestDiffNamesFields(t *testing.T) {
	a := frames(t, "01-http-get-100k.a.pcapng")
	change := func(f []byte, at int, to ...byte) []byte {
		g := append([]byte(nil), f...)
		copy(g[at:], to)
		return g
	}
	get, data := a[5].data, a[9].data
	var b strings.Builder
	for _, c := range []struct {
		what           string
		expected, have []byte
	}{
		{"a TTL and a port", get, change(change(get, 22, 63), 36, 0, 80)},
		{"a flag and a payload byte", data, change(change(data, 47, 0x18), 100, 0xff)},
		{"a shorter payload", data, data[:len(data)-10]},
		{"another protocol", a[0].data, get},
		{"one byte more", data, append(append([]byte(nil), data...), 0)},
	} {
		b.WriteString("== " + c.what + "\n" + pcap.FormatDiff(pcap.Diff(c.expected, c.have)))
	}
	golden(t, "diff.golden", b.String())
	if none := pcap.FormatDiff(pcap.Diff(get, get)); none != "" {
		t.Errorf("where nothing differs: %q", none)
	}
	for _, part := range strings.Split(b.String(), "== ") {
		if n := strings.Count(part, "\n"); n > 21 {
			t.Errorf("%d lines, want at most 20:\n%s", n, part)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":              "plain",
		"\x1b[2Jgone":        `\x1b[2Jgone`,
		"a\nb\tc":            `a\nb\tc`,
		"\xff\xfe":           `\xff\xfe`,
		"naïve €":            "naïve €",
		"\u202eevil":         `\u202eevil`,
		"\uFFFD":             "\uFFFD",
		"\x00":               `\x00`,
		"quote\"back\\":      `quote"back\`,
		"no\u00a0break":      `no\u00a0break`,
		"\u009b31m csi":      `\u009b31m csi`,
		"truncated \xe2\x82": `truncated \xe2\x82`,
	} {
		if have := pcap.Printable(in); have != want {
			t.Errorf("Printable(%q) = %q, want %q", in, have, want)
		}
	}
}
