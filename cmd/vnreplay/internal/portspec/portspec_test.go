package portspec_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/cmd/vnreplay/internal/portspec"
	"github.com/vnreplay/vnreplay/live"
)

func Example() {
	p, err := portspec.Parse("web=host:10.0.0.2/24,rate=10mbit=echo-server+http-server@8080:/=.")
	fmt.Println(p.Name, p.Host.Addrs[0], p.Rate, p.Host.Apps[0].Name, p.Host.Apps[1].Name, err)
	// Output: web 10.0.0.2/24 10000000 echo-server@7 http-server@8080 <nil>
}

// show is what a port came to.
func show(p live.Port) string {
	text := fmt.Sprintf("%s %q mtu=%d latency=%v rate=%d queue=%d mac=%v", p.Name, p.Device, p.MTU, p.Latency, p.Rate, p.Queue, p.MAC)
	if p.Host != nil {
		text = fmt.Sprintf("%s %v via %v", text, p.Host.Addrs, p.Host.Gateways)
		for _, a := range p.Host.Apps {
			text += " " + a.Name
		}
	}
	return text
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"tap:vnr0":          ` "tap:vnr0" mtu=0 latency=0s rate=0 queue=0 mac=00:00:00:00:00:00`,
		"tap:fd=3,mtu=9000": ` "tap:fd=3,mtu=9000" mtu=0 latency=0s rate=0 queue=0 mac=00:00:00:00:00:00`,
		"vm=qemu:unix:/run/q.sock,latency=5ms,connect,rate=1mbit,queue=9p,mac=02:00:00:00:00:07,mtu=1400": `vm "qemu:unix:/run/q.sock,connect,mtu=1400" mtu=0 latency=5ms rate=1000000 queue=9 mac=02:00:00:00:00:07`,
		"qemu-dgram:local=unix:/a,remote=unix:/b,latency=1ms":                                             ` "qemu-dgram:local=unix:/a,remote=unix:/b" mtu=0 latency=1ms rate=0 queue=0 mac=00:00:00:00:00:00`,
		"host:10.0.0.2/24": `10.0.0.2 "" mtu=0 latency=0s rate=0 queue=0 mac=00:00:00:00:00:00 [10.0.0.2/24] via []`,
		"host:fd00::2/64,10.0.0.2/24,mtu=9000,gateway=fd00::1=bulk-server@5": `fd00--2 "" mtu=9000 latency=0s rate=0 queue=0 mac=00:00:00:00:00:00 [fd00::2/64 10.0.0.2/24] via [fd00::1] bulk-server@5`,
		"h=host:10.0.0.2/24=echo-server@9+udp-echo-server+bulk-server":       `h "" mtu=0 latency=0s rate=0 queue=0 mac=00:00:00:00:00:00 [10.0.0.2/24] via [] echo-server@9 udp-echo-server@7 bulk-server@5001`,
	} {
		p, err := portspec.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := show(p); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "1 ",
		"=tap:x":                         "1 =",
		"tip:x":                          "1 tip",
		"a=tap:":                         "7 ",
		"tap:vnr0,latency=5":             "18 5",
		"tap:vnr0,latency=5ms,speed=1":   "22 speed=1",
		"tap:vnr0,rate=10":               "15 10",
		"tap:vnr0,queue=64":              "16 64",
		"tap:vnr0,mac=no":                "14 no",
		"é=host:10.0.0.1":                "8 10.0.0.1",
		"host:":                          "6 ",
		"host:10.0.0.1/24,":              "18 ",
		"host:10.0.0.1/24,mtu=5":         "22 5",
		"host:mtu=1500":                  "14 ",
		"host:10.0.0.1/24=":              "18 ",
		"host:10.0.0.1/24=ftp":           "18 ftp",
		"host:10.0.0.1/24=echo-server@0": "30 0",
		"host:10.0.0.1/24=echo-server:x": "29 :x",
		"host:10.0.0.1/24=http-server":   "29 ",
		"host:10.0.0.1/24=http-server:/=/nowhere": "32 /nowhere",
	} {
		_, err := portspec.Parse(text)
		var in *portspec.Error
		if !errors.As(err, &in) {
			t.Errorf("%s: %v", text, err)
		} else if got := fmt.Sprintf("%d %s", in.Column, in.Token); got != want || in.Msg == "" {
			t.Errorf("%q: at %q, want %q: %v", text, got, want, err)
		}
	}
}

// What an http-server serves is what stands in the directory, and nothing a link in it
// leads to.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "front", "a/b.txt": "deep", "a/index.html": "a"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "etc")); err != nil {
		t.Log(err)
	}
	if _, err := portspec.Parse("host:10.0.0.1/24=http-server:/=" + dir + ",/x=" + filepath.Join(dir, "a/b.txt")); err != nil {
		t.Error(err)
	}
}

// No text makes it panic, and every error is a place in the text.
func FuzzParse(f *testing.F) {
	f.Add("vm=qemu:unix:/run/q.sock,latency=5ms,connect")
	f.Add("h=host:10.0.0.2/24,mtu=9000=echo-server@9+bulk-server")
	f.Add("host:é,rate=1=http-server")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "http-server") {
			return // it would read whatever files the fuzzer thinks of
		}
		p, err := portspec.Parse(text)
		var in *portspec.Error
		switch {
		case err == nil && (p.Device == "") == (p.Host == nil):
			t.Errorf("%q is neither a device nor a host", text)
		case err == nil && p.Latency > 0 && p.Latency < time.Nanosecond:
			t.Errorf("%q: %v", text, p.Latency)
		case err != nil && !errors.As(err, &in):
			t.Errorf("%q: %v", text, err)
		case err != nil && (in.Column < 1 || in.Column > utf8.RuneCountInString(text)+1):
			t.Errorf("%q: column %d", text, in.Column)
		}
	})
}
