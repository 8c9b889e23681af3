package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/internal/bench"
)

// recorder is a program that captures on a device into a file.
type recorder struct {
	name string
	args func(dev, file string) []string
	// ready matches what it says when it has begun, and lost what it says at its
	// end of packets that it missed.
	ready, lost *regexp.Regexp
}

// Both with 64 MiB of buffer: with tcpdump's own, it loses packets at this rate.
var (
	dumpcap = &recorder{
		name:  "dumpcap",
		args:  func(dev, file string) []string { return []string{"-q", "-B", "64", "-i", dev, "-w", file} },
		ready: regexp.MustCompile(`(?m)^File: `),
		lost:  regexp.MustCompile(`received/dropped on interface .*: \d+/(\d+)`),
	}
	tcpdump = &recorder{
		name: "tcpdump",
		args: func(dev, file string) []string {
			return []string{"-n", "-Z", "root", "-B", "65536", "-i", dev, "-w", file}
		},
		ready: regexp.MustCompile(`listening on`),
		lost:  regexp.MustCompile(`(\d+) packets? dropped by kernel`),
	}
)

// bridgeBulk is TCP by iperf3 between two namespaces over veth pairs and the
// kernel's bridge in a third.
type bridgeBulk struct {
	name    string
	bytes   int64
	capture *recorder // on one port of the bridge; nil for none
	dir     string

	ns *namespaces
}

func (b *bridgeBulk) Name() string { return b.name }

func (b *bridgeBulk) Setup(ctx context.Context) error {
	if err := needTools("iperf3", "ethtool"); err != nil {
		return err
	}
	if b.capture != nil {
		if err := needTools(b.capture.name); err != nil {
			return err
		}
	}
	ns, err := newNamespaces(ctx, 3)
	if err != nil {
		return err
	}
	b.ns = ns
	err = ns.run(ctx, 2, "ip", "link", "add", "br0", "type", "bridge")
	for i := range 2 {
		port := fmt.Sprintf("p%d", i)
		err = errors.Join(err, ns.veth(ctx, i, "eth0", 2, port),
			ns.run(ctx, 2, "ip", "link", "set", port, "master", "br0"),
			ns.run(ctx, i, "ip", "addr", "add", fmt.Sprintf("10.0.0.%d/24", i+1), "dev", "eth0"))
	}
	err = errors.Join(err, ns.run(ctx, 2, "ip", "link", "set", "br0", "up"))
	if err != nil {
		return errors.Join(err, ns.close())
	}
	return nil
}

func (b *bridgeBulk) Teardown() error { return b.ns.close() }

func (b *bridgeBulk) Run(ctx context.Context) (r bench.Result, err error) {
	var file string
	var rec *watched
	if b.capture != nil {
		file = filepath.Join(b.dir, "bridge.pcapng")
		defer os.Remove(file)
		rec, err = watch(b.ns.command(ctx, 2, b.capture.name, b.capture.args("p0", file)...), b.capture.ready)
		if err != nil {
			return r, err
		}
		defer rec.kill()
	}
	server, err := watch(b.ns.command(ctx, 1, "iperf3", "-s", "-1", "--forceflush"), regexp.MustCompile("Server listening"))
	if err != nil {
		return r, err
	}
	defer server.kill()

	clock := bench.Start()
	client := b.ns.command(ctx, 0, "iperf3", "-c", "10.0.0.2", "-n", strconv.FormatInt(b.bytes, 10), "-J")
	out, err := client.Output()
	if err != nil {
		return r, explain(client, err, string(out))
	}
	if err := server.wait(); err != nil {
		return r, err
	}
	if rec != nil {
		if r.Lost, err = b.capture.end(rec, file); err != nil {
			return r, err
		}
	}
	_, r.CPU = clock.Stop()
	return r, readIperf(out, &r)
}

// readIperf reads how much iperf3 moved and how long that took, by its own clock.
func readIperf(out []byte, r *bench.Result) error {
	var report struct {
		End struct {
			Received struct {
				Bytes   uint64  `json:"bytes"`
				Seconds float64 `json:"seconds"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return fmt.Errorf("iperf3 -J: %w", err)
	}
	r.Bytes = report.End.Received.Bytes
	r.Elapsed = time.Duration(report.End.Received.Seconds * float64(time.Second))
	if r.Bytes == 0 || r.Elapsed <= 0 {
		return fmt.Errorf("iperf3 -J says nothing of what was received: %.200s", out)
	}
	return nil
}

// end lets a recorder write what it still has, ends it and returns how many frames
// it missed.
func (rec *recorder) end(w *watched, file string) (lost uint64, err error) {
	for size := int64(-1); ; {
		fi, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		if fi.Size() == size {
			break
		}
		size = fi.Size()
		time.Sleep(100 * time.Millisecond)
	}
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		return 0, err
	}
	if err := w.wait(); err != nil {
		return 0, err
	}
	m := rec.lost.FindStringSubmatch(w.said())
	if m == nil {
		return 0, fmt.Errorf("%s does not say how much it lost: %s", rec.name, w.said())
	}
	return strconv.ParseUint(m[1], 10, 64)
}

// watched is a program that runs until it is told to end.
type watched struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of its end; read it after done

	mu  sync.Mutex
	out bytes.Buffer
	ok  *regexp.Regexp
	on  chan struct{} // closed when ok has matched
}

// readyWithin is how long a program may take to begin.
const readyWithin = 10 * time.Second

// watch starts a program and waits until it has said that it is ready.
func watch(cmd *exec.Cmd, ready *regexp.Regexp) (*watched, error) {
	w := &watched{cmd: cmd, done: make(chan struct{}), ok: ready, on: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		w.err = cmd.Wait()
		close(w.done)
	}()
	select {
	case <-w.on:
		return w, nil
	case <-w.done:
		return nil, explain(cmd, errors.Join(errors.New("ended before it was ready"), w.err), w.said())
	case <-time.After(readyWithin):
		w.kill()
		return nil, explain(cmd, fmt.Errorf("not ready after %v", readyWithin), w.said())
	}
}

// Write takes what the program says.
func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.ok.Match(w.out.Bytes())
	w.out.Write(p)
	if !before && w.ok.Match(w.out.Bytes()) {
		close(w.on)
	}
	return len(p), nil
}

// said is what the program has said so far.
func (w *watched) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(w.out.String())
}

// wait waits for the program's end.
func (w *watched) wait() error {
	select {
	case <-w.done:
		return explain(w.cmd, w.err, w.said())
	case <-time.After(readyWithin):
		w.kill()
		return explain(w.cmd, fmt.Errorf("did not end within %v", readyWithin), w.said())
	}
}

// kill ends the program, if it has not ended.
func (w *watched) kill() {
	select {
	case <-w.done:
	default:
		w.cmd.Process.Kill()
		<-w.done
	}
}
