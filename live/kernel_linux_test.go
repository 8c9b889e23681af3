package live_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// kernel is a network namespace of a test's own, with one interface.
type kernel struct {
	t      *testing.T
	ns     string
	device string
	dump   string // what tcpdump captured
	tcp    *exec.Cmd
	said   bytes.Buffer
	over   chan struct{} // closed when tcpdump has said all
}

// newKernel makes one, or skips the test where it may not.
func newKernel(t *testing.T, device string, tools ...string) *kernel {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" && os.Geteuid() == 0 {
		skip = t.Fatalf
	}
	for _, tool := range append([]string{"ip"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			skip("%s is not installed", tool)
		}
	}
	k := &kernel{t: t, ns: fmt.Sprintf("vnr-%d-%s", os.Getpid(), device), device: device, over: make(chan struct{})}
	if out, err := exec.Command("ip", "netns", "add", k.ns).CombinedOutput(); err != nil {
		skip("a network namespace cannot be made: %v: %s; run the test as root", err, bytes.TrimSpace(out))
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", k.ns).Run() })
	k.do("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	k.do("ip", "link", "set", "lo", "up")
	return k
}

func (k *kernel) command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", k.ns}, args...)...)
}

func (k *kernel) do(args ...string) string {
	k.t.Helper()
	out, err := k.command(args...).CombinedOutput()
	if err != nil {
		k.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// plug moves the device into the namespace, gives it an address and has tcpdump look.
func (k *kernel) plug(addr string) {
	k.t.Helper()
	if out, err := exec.Command("ip", "link", "set", k.device, "netns", k.ns).CombinedOutput(); err != nil {
		k.t.Fatalf("%v: %s", err, out)
	}
	k.do("ip", "addr", "add", addr, "dev", k.device)
	k.do("ip", "link", "set", k.device, "up")
	k.dump = filepath.Join(k.t.TempDir(), k.device+".pcap")
	k.tcp = k.command("tcpdump", "-i", k.device, "-Z", "root", "-U", "--immediate-mode", "-B", "65536", "-w", k.dump)
	errs, err := k.tcp.StderrPipe()
	must(k.t, err)
	must(k.t, k.tcp.Start())
	lines := bufio.NewReader(errs)
	for {
		line, err := lines.ReadString('\n')
		must(k.t, err)
		if strings.Contains(line, "listening on") {
			break
		}
	}
	go func() { io.Copy(&k.said, lines); close(k.over) }()
	k.t.Cleanup(func() { k.tcp.Process.Kill(); <-k.over; k.tcp.Wait() })
}

// stop ends tcpdump, which must have missed nothing.
func (k *kernel) stop() {
	k.t.Helper()
	must(k.t, k.tcp.Process.Signal(syscall.SIGINT))
	<-k.over
	if !strings.Contains(k.said.String(), "\n0 packets dropped by kernel") {
		k.t.Fatalf("tcpdump missed packets: %s", &k.said)
	}
}

// serve starts a program of the namespace's that ends with the test.
func (k *kernel) serve(args ...string) {
	k.t.Helper()
	cmd := k.command(args...)
	must(k.t, cmd.Start())
	k.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// listens waits until somebody listens on a TCP port.
func (k *kernel) listens(port int) {
	k.t.Helper()
	for range 500 {
		out, _ := k.command("ss", "-Hltn", fmt.Sprintf("sport = :%d", port)).Output()
		if len(out) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	k.t.Fatalf("nobody listens on port %d", port)
}

// seen reads a capture: what an address sent, and what others did, each in order. IPv6 is
// left out: kernels talk it while an interface comes up, before tcpdump looks.
func seen(t *testing.T, path string, mac vswitch.MAC) (sent, received []string) {
	t.Helper()
	r, err := pcap.Open(path)
	must(t, err)
	defer r.Close()
	for p, err := range r.Packets() {
		must(t, err)
		if p.Data[12] == 0x86 && p.Data[13] == 0xdd {
			continue
		}
		if vswitch.MAC(p.Data[6:12]) == mac {
			sent = append(sent, string(p.Data))
		} else {
			received = append(received, string(p.Data))
		}
	}
	return sent, received
}

// Two kernels and two hosts of our own on one switch ping each other, serve each other
// files, and move a bulk, all through rules that lose; and what the recording says each
// kernel saw is what tcpdump saw there, frame by frame.
func TestKernelsOnASwitch(t *testing.T) {
	a, b := newKernel(t, "vnrka", "tcpdump", "ping", "curl", "iperf3", "python3"), newKernel(t, "vnrkb")
	dir := t.TempDir()
	file := apps.RandomBytes(100_000, 1, "file")
	must(t, os.WriteFile(filepath.Join(dir, "f.bin"), file, 0o644))
	rules, err := faults.ParseAll([]string{
		`lost: drop 5% from a if "tcp port 5201"`, `back: drop 5% to a if "tcp port 5201"`,
		`web: drop 5% from web if "tcp"`, `twice: duplicate nth 3 to b if "icmp"`,
	})
	must(t, err)
	get := apps.HTTPGet{URL: "http://10.77.0.2:8080/f.bin", Timeout: 20 * time.Second}.New()
	recording := filepath.Join(dir, "out.pcapng")
	cfg := live.Config{
		Seed: 1,
		Ports: []live.Port{
			{PortConfig: vswitch.PortConfig{Name: "a"}, Device: "tap:" + a.device},
			{PortConfig: vswitch.PortConfig{Name: "b"}, Device: "tap:" + b.device},
			host("web", "10.77.0.3/24", apps.HTTPServer{Files: map[string][]byte{"/f.bin": file}}.New()),
			host("get", "10.77.0.4/24", get),
		},
		Faults: rules, Recording: live.Recording{File: recording},
	}
	s, err := live.Start(context.Background(), cfg)
	must(t, err)
	defer s.Close()
	a.plug("10.77.0.1/24")
	b.plug("10.77.0.2/24")
	b.serve("python3", "-m", "http.server", "--directory", dir, "8080")
	b.serve("iperf3", "-s", "-1")
	b.listens(8080)
	b.listens(5201)

	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	for _, addr := range []string{"10.77.0.2", "10.77.0.3"} {
		if out := a.do("ping", "-c", "5", "-i", "0.05", "-w", "10", addr); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("ping %s: %s", addr, out)
		}
	}
	if got := a.do("curl", "-s", "--max-time", "20", "http://10.77.0.3/f.bin"); got != string(file) {
		t.Errorf("curl got %d bytes, not the file's", len(got))
	}
	a.do("iperf3", "-c", "10.77.0.2", "-n", "3M", "--connect-timeout", "5000")
	until(t, s, func(live.Status) bool { r := get.Result(); return r.OK+r.Failed > 0 })
	if r := get.Result(); r.OK != 1 || r.Received < int64(len(file)) {
		t.Errorf("our client of the kernel's server: %+v", r)
	}
	// Until all is quiet: tcpdump loses what it has not read when its interface goes.
	quiet := s.Status().Frames
	until(t, s, func(st live.Status) bool {
		time.Sleep(500 * time.Millisecond)
		was := quiet
		quiet = st.Frames
		return quiet == was
	})
	a.stop()
	b.stop()
	st := s.Status()
	s.Stop()
	must(t, <-ended)
	must(t, s.Close())
	for _, r := range st.Rules {
		if r.Frames == 0 {
			t.Errorf("rule %q did nothing", r.Text)
		}
	}

	for i, k := range []*kernel{a, b} {
		view := filepath.Join(dir, k.device+".pcapng")
		in, err := pcap.Open(recording)
		must(t, err)
		out, err := os.Create(view)
		must(t, err)
		must(t, pcap.ViewAt(out, in, st.Ports[i].Name))
		must(t, out.Close())
		must(t, in.Close())
		mac := portMAC(t, recording, st.Ports[i].Name)
		sent, received := seen(t, view, mac)
		dumpSent, dumpReceived := seen(t, k.dump, mac)
		same(t, k.device+": sent", sent, dumpSent)
		same(t, k.device+": received", received, dumpReceived)
		if len(sent) < 100 || len(received) < 100 {
			t.Errorf("%s: %d frames sent, %d received", k.device, len(sent), len(received))
		}
	}
}

// portMAC is the address that a recording says a port has.
func portMAC(t *testing.T, path, name string) vswitch.MAC {
	t.Helper()
	r, err := pcap.Open(path)
	must(t, err)
	defer r.Close()
	for p, err := range r.Packets() {
		must(t, err)
		if r.Interfaces()[p.Interface].Name == name {
			return vswitch.MAC(p.Data[6:12])
		}
	}
	t.Fatalf("port %s sent nothing", name)
	panic("")
}

// same says where two lists of frames differ.
func same(t *testing.T, what string, ours, tcpdump []string) {
	t.Helper()
	for i := range min(len(ours), len(tcpdump)) {
		if ours[i] != tcpdump[i] {
			t.Errorf("%s, frame %d: the recording has\n%x\ntcpdump\n%x", what, i+1, ours[i], tcpdump[i])
			return
		}
	}
	if len(ours) != len(tcpdump) {
		t.Errorf("%s: the recording has %d frames, tcpdump %d", what, len(ours), len(tcpdump))
	}
}
