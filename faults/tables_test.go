package faults_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/faults"
)

// A table's file is read before the rule can be installed; then the rule has its values,
// and says so.
func TestTablesAreRead(t *testing.T) {
	for text, normal := range map[string]string{
		"delay 40ms jitter 8ms table wifi.dist corr 25%":                  "delay 40ms jitter 8ms table -8192,0,16384 corr 25%",
		`reorder 1% ahead 40ms jitter 8ms table "my dir/wifi.dist" gap 3`: "reorder 1% ahead 40ms jitter 8ms table -8192,0,16384 gap 3",
	} {
		r := mustParse(t, text)
		files := r.Tables()
		l := newLAN(t, 1)
		if _, err := faults.Install(l.sw, []*faults.Rule{r}); err == nil || !strings.Contains(err.Error(), "has not been read") {
			t.Errorf("%q is installed without its table: %v", text, err)
		}
		var read []string
		full, err := r.WithTables(func(file string) ([]byte, error) {
			read = append(read, file)
			return []byte("# measured\n-8192 0\n\t16384\n"), nil
		})
		if err != nil || full.String() != normal || full.Tables() != nil || !slices.Equal(read, files) || len(files) != 1 {
			t.Fatalf("%q becomes %v, %v; read %q of %q", text, full, err, read, files)
		}
		if r.String() == full.String() {
			t.Errorf("%q was changed", text)
		}
		if _, err := faults.Install(l.sw, []*faults.Rule{full}); err != nil {
			t.Error(err)
		}
		seen := map[time.Duration]bool{}
		c := l.compile(strings.Replace(full.String(), " corr 25%", "", 1))
		for range 500 {
			seen[l.judge(c, udp(client, server, 1, 1, 1), client, -1).Delay] = true
		}
		delete(seen, 0) // of a frame that goes ahead
		for _, want := range []time.Duration{32, 40, 56} {
			if !seen[want*time.Millisecond] || len(seen) != 3 {
				t.Errorf("%q delays by %v", full, seen)
			}
		}
	}
	noFile := errors.New("no such file")
	r := mustParse(t, "a: delay 40ms jitter 8ms table wifi.dist")
	for _, c := range []struct {
		text string
		err  error
		want string
	}{
		{"", noFile, `fault rule "a: delay 40ms jitter 8ms table \"wifi.dist\"": table "wifi.dist": no such file`},
		{"1\n2 x", nil, `fault rule "a: delay 40ms jitter 8ms table \"wifi.dist\"": table "wifi.dist": line 2: "x" is not an integer`},
	} {
		_, err := r.WithTables(func(string) ([]byte, error) { return []byte(c.text), c.err })
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	plain := mustParse(t, "drop")
	if again, err := plain.WithTables(nil); again != plain || err != nil {
		t.Errorf("a rule without tables becomes %v, %v", again, err)
	}
}

// The name of a file is printed as it is read, whatever is in it but a quote.
func TestTablesHaveNames(t *testing.T) {
	for _, name := range []string{"wifi.dist", "normal", "1,2", "jitter corr 5%", "ä:/\\'"} {
		text := `delay 40ms jitter 8ms table "` + name + `"`
		r := mustParse(t, text)
		if r.String() != text || len(r.Tables()) != 1 || r.Tables()[0] != name {
			t.Errorf("%q is read as %q, with %q", text, r, r.Tables())
		}
	}
	for _, name := range []string{`""`, `wi"fi`, `wifi"`} {
		if r, err := faults.Parse("delay 40ms jitter 8ms table " + name); err == nil {
			t.Errorf("table %s is read as %q, with %q", name, r, r.Tables())
		}
	}
}
