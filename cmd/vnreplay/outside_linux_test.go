package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
)

// netns is a network namespace of a test's own.
type netns struct {
	t    *testing.T
	name string
}

// newNetns makes one, with a TAP device vnr0 that has the addresses, or skips the test where
// it may not.
func newNetns(t *testing.T, tools []string, addrs ...string) *netns {
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
	ns := &netns{t, fmt.Sprintf("vnr-%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)}
	if out, err := exec.Command("ip", "netns", "add", ns.name).CombinedOutput(); err != nil {
		skip("a network namespace cannot be made: %v: %s; run the test as root", err, bytes.TrimSpace(out))
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", ns.name).Run() })
	ns.do("ip", "link", "set", "lo", "up")
	if out, err := ns.command("ip", "tuntap", "add", "dev", "vnr0", "mode", "tap").CombinedOutput(); err != nil {
		skip("a TAP device cannot be made: %v: %s", err, bytes.TrimSpace(out))
	}
	for _, a := range addrs {
		flags := []string{}
		if netip.MustParsePrefix(a).Addr().Is6() {
			flags = []string{"nodad"}
		}
		ns.do(append([]string{"ip", "addr", "add", a, "dev", "vnr0"}, flags...)...)
	}
	ns.do("ip", "link", "set", "vnr0", "up")
	return ns
}

func (ns *netns) command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", ns.name}, args...)...)
}

func (ns *netns) do(args ...string) {
	ns.t.Helper()
	if out, err := ns.command(args...).CombinedOutput(); err != nil {
		ns.t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// vnreplay runs the command there.
func (ns *netns) vnreplay(args ...string) (status int, stdout, stderr string) {
	ns.t.Helper()
	cmd := ns.command(append([]string{"vnreplay"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ns.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// serve runs Python's HTTP server on port 8080, until the test is over, and returns what
// it calls itself.
func (ns *netns) serve(dir, bind string) (server string) {
	ns.t.Helper()
	name, err := exec.Command("python3", "-c", "import http.server as h; print(h.SimpleHTTPRequestHandler.server_version, h.BaseHTTPRequestHandler.sys_version)").Output()
	if err != nil {
		ns.t.Fatal(err)
	}
	cmd := ns.command("python3", "-u", "-m", "http.server", "--bind", bind, "--directory", dir, "8080")
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		ns.t.Fatal(err)
	}
	ns.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		ns.t.Fatalf("%q, %v", line, err)
	}
	go io.Copy(io.Discard, said)
	return strings.TrimSpace(string(name))
}

// conversation is the first of a fixture's.
func conversation(t *testing.T, path string) *replay.Conversation {
	t.Helper()
	c, err := replay.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return replay.Analyse(c).Conversations[0]
}

const capturedServer = "SimpleHTTP/0.6 Python/3.11.2"

// TestKernelServes replays a capture to a real kernel with a real server. The server
// differs from the captured one where it is another version, and where its file is
// another: there, and nowhere else, the replay says that it diverged.
func TestKernelServes(t *testing.T) {
	const changed = 70000
	for _, c := range []struct{ file, addr, bits, played string }{
		{"01-http-get-100k.a.pcapng", "10.77.0.2", "/24", "10.77.0.1"},
		{"13-http-ipv6.a.pcapng", "fd77::2", "/64", "fd77::1"},
	} {
		t.Run(c.file, func(t *testing.T) {
			ns := newNetns(t, []string{"python3"}, c.addr+c.bits)
			path, err := filepath.Abs("../../fixtures/captures/" + c.file)
			if err != nil {
				t.Fatal(err)
			}
			head, body, ok := bytes.Cut(conversation(t, path).Streams[1].Data, []byte("\r\n\r\n"))
			if !ok {
				t.Fatal("the capture has no answer")
			}
			dir := t.TempDir()
			write := func(data []byte) {
				if err := os.WriteFile(filepath.Join(dir, "100k.bin"), data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			write(body)
			server := ns.serve(dir, c.addr)
			live := c.addr + "@tap:vnr0"
			out := filepath.Join(dir, "out.pcapng")

			status, text, errs := ns.vnreplay("replay", path, "--live", live, "-w", out)
			if at := firstDifference(server, capturedServer); at >= 0 {
				offset := bytes.Index(head, []byte(capturedServer)) + at
				if want := fmt.Sprintf("stream offset %d: HTTP response 1 (HTTP/1.0 200 OK), header Server", offset); status != 1 || !strings.Contains(text, want) {
					t.Errorf("status %d, want a divergence at %q:\n%s%s", status, want, text, errs)
				}
			} else if status != 0 {
				t.Errorf("status %d, want the same:\n%s%s", status, text, errs)
			}
			r, err := pcap.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			meta, _ := r.Meta()
			r.Close()
			if meta.Clock != "real" {
				t.Errorf("the recording says %+v", meta)
			}
			if len(server) != len(capturedServer) {
				t.Logf("the server calls itself %q, which no mask covers", server)
				return
			}

			// Again at once, with the numbers that the kernel remembers.
			masked := []string{"replay", path, "--live", live, "--mask-header", "Server"}
			if status, text, errs := ns.vnreplay(masked...); status != 0 || !strings.Contains(text, "coverage: 1/1 conversations, 100.0 % of 100290 bytes\n") {
				t.Errorf("status %d, want the same:\n%s%s", status, text, errs)
			}
			other := bytes.Clone(body)
			other[changed] ^= 1
			write(other)
			want := fmt.Sprintf("stream offset %d: HTTP response 1 (HTTP/1.0 200 OK), byte %d of its body", len(head)+4+changed, changed)
			if status, text, errs := ns.vnreplay(masked...); status != 1 || !strings.Contains(text, want) {
				t.Errorf("status %d, want %q:\n%s%s", status, want, text, errs)
			}
		})
	}
}

// firstDifference is the index of the first byte that differs, or -1.
func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// begin starts a replay there and waits until it says that it is ready.
func (ns *netns) begin(args ...string) (cmd *exec.Cmd, stdout *bytes.Buffer, stderr *bufio.Reader) {
	ns.t.Helper()
	cmd, stdout = ns.command(append([]string{"vnreplay"}, args...)...), &bytes.Buffer{}
	cmd.Stdout = stdout
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		ns.t.Fatal(err)
	}
	stderr = bufio.NewReader(pipe)
	if line, err := stderr.ReadString('\n'); !strings.Contains(line, "ready: the live side is to open TCP 10.77.0.2:8080") {
		cmd.Process.Kill()
		cmd.Wait()
		ns.t.Fatalf("it says %q (%v)", line, err)
	}
	return cmd, stdout, stderr
}

// TestKernelAsks replays a server to a real client on a real kernel, which begins when it
// is told that the replay is ready; and is interrupted while it waits for one.
func TestKernelAsks(t *testing.T) {
	ns := newNetns(t, []string{"curl"}, "10.77.0.1/24")
	path, err := filepath.Abs("../../fixtures/captures/01-http-get-100k.a.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"replay", path, "--live", "10.77.0.1@tap:vnr0", "--patience", "30s"}
	cmd, stdout, _ := ns.begin(args...)
	got, err := ns.command("curl", "-s", "-A", "curl/7.88.1", "http://10.77.0.2:8080/100k.bin").Output()
	if len(got) != 100000 {
		t.Errorf("curl got %d bytes (%v)", len(got), err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(stdout.String(), "coverage: 1/1 conversations, 100.0 % of 100290 bytes\n") {
		t.Errorf("%v\n%s", err, stdout)
	}

	out := filepath.Join(t.TempDir(), "out.pcapng")
	cmd, stdout, _ = ns.begin(append(args, "-w", out)...)
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != exitSignal+int(syscall.SIGINT) {
		t.Errorf("status %d, want 130:\n%s", status, stdout)
	}
	if n, err := pcap.CountFrames(out); err != nil || n < 2 {
		t.Errorf("the recording has %d frames: %v", n, err)
	}
}

// TestKernelIsNotThere: what to look at, when nobody answers.
func TestKernelIsNotThere(t *testing.T) {
	ns := newNetns(t, nil, "10.77.0.9/24")
	status, text, errs := ns.vnreplay("replay", "../../fixtures/captures/01-http-get-100k.a.pcapng", "--live", "10.77.0.2@tap:vnr0")
	if status != exitUsage || !strings.Contains(errs, "10.77.0.2 behind tap:vnr0: nobody answers: no reply to ARP in 5s; ") {
		t.Errorf("status %d:\n%s%s", status, text, errs)
	}
	status, text, errs = ns.vnreplay("replay", "../../fixtures/captures/01-http-get-100k.a.pcapng", "--live", "10.77.0.2@packet:nothere")
	if status != exitUsage || !strings.Contains(errs, "packet:nothere") {
		t.Errorf("status %d:\n%s%s", status, text, errs)
	}
}

// TestOpenIntoWire: every frame arrives at the other end of a cable, as tcpdump sees it there.
func TestOpenIntoWire(t *testing.T) {
	ns := newNetns(t, []string{"tcpdump"})
	ns.do("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
	ns.do("ip", "link", "set", "wire0", "up")
	ns.do("ip", "link", "set", "wire1", "up")
	const path = "../../fixtures/captures/10-interactive.a.pcapng"
	want := framesOf(t, path)
	dir := t.TempDir()
	for i, flags := range [][]string{{}, {"--topspeed"}, {"--topspeed", "-w", filepath.Join(dir, "out.pcapng")}} {
		seen := filepath.Join(dir, fmt.Sprint(i, ".pcap"))
		dump := ns.command("tcpdump", "-i", "wire1", "-U", "-w", seen, "-c", fmt.Sprint(len(want)), "ether src 02:00:00:77:00:01 or ether src 02:00:00:77:00:02")
		said, err := dump.StderrPipe()
		if err == nil {
			err = dump.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		status, text, errs := ns.vnreplay(append([]string{"replay", path, "--open", "--to", "packet:wire0"}, flags...)...)
		if status != 0 || !strings.Contains(text, fmt.Sprintf("sent %d frames", len(want))) {
			t.Errorf("%v: status %d:\n%s%s", flags, status, text, errs)
		}
		late := time.AfterFunc(5*time.Second, func() { dump.Process.Signal(syscall.SIGINT) })
		dump.Wait()
		late.Stop()
		if got := framesOf(t, seen); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%v: %d frames arrived, want the %d of the capture", flags, len(got), len(want))
		}
	}
	r, err := pcap.Open(filepath.Join(dir, "out.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if meta, _ := r.Meta(); meta.Clock != "real" {
		t.Errorf("the recording says %+v", meta)
	}
}

func framesOf(t *testing.T, path string) (frames [][]byte) {
	t.Helper()
	r, err := pcap.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, p.Data)
	}
	return frames
}
