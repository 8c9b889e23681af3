package shell_test

import (
	"os/exec"
	"testing"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/shell"
)

// A shell makes of a word what it was made of.
func TestWord(t *testing.T) {
	for _, s := range []string{"", "a.pcap", "a b", "it's", "$HOME", "`id`", `a\b"c`, "a\nb", "#x", "~", "*", "é", "a;b"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shell.Word(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q: %s is %q, %v", s, shell.Word(s), out, err)
		}
	}
}

func TestFile(t *testing.T) {
	for name, want := range map[string]string{"a.pcap": "a.pcap", "-": "-", "-x.pcap": "./-x.pcap", "-a b": "'./-a b'"} {
		if got := shell.File(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
