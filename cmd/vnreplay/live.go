package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// execPrefix begins the name of an application that is a command.
const execPrefix = "exec:"

// parseLiveFlag is [parseLive] for the command line, where the application may be a
// command: what a person types is theirs to run, what a file says is not.
func parseLiveFlag(text string, a *replay.Analysis) (replay.Live, error) {
	addr, app, _ := strings.Cut(text, "=")
	command, ok := strings.CutPrefix(app, execPrefix)
	if !ok {
		return parseLive(text, a)
	}
	live, err := parseLive(addr, a)
	if err != nil {
		return live, err
	}
	return execLive(live, text, command, a)
}

// parseLive reads the ADDR[=APP] of a --live flag, or of an expectation.
func parseLive(text string, a *replay.Analysis) (replay.Live, error) {
	addrText, app, _ := strings.Cut(text, "=")
	addr, err := netip.ParseAddr(strings.Trim(addrText, "[]"))
	if err != nil {
		return replay.Live{}, usage("--live %q: want an address of the capture, such as 10.0.0.2", text)
	}
	live := replay.Live{Addr: addr}
	if app == "" && strings.Contains(text, "=") {
		return live, usage("--live %s: an application is missing behind =", text)
	}
	word, rest, _ := strings.Cut(app, ":")
	kind, portText, hasPort := strings.Cut(word, "@")
	var port uint16
	if hasPort {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 {
			return live, usage("--live %s: %q is no port: want 1 to 65535", text, portText)
		}
		port = uint16(n)
	}
	switch {
	case app == "" || app == "transcript":
		return live, nil
	case word == "transcript":
		other, err := replay.Load(rest)
		if err != nil {
			return live, err
		}
		live.From = replay.Analyse(other)
		if !slices.ContainsFunc(live.From.Conversations, func(c *replay.Conversation) bool {
			return c.Ends[0].Addr() == addr || c.Ends[1].Addr() == addr
		}) {
			return live, usage("--live %s: %s has nothing from %v", text, rest, addr)
		}
		return live, nil
	case word+":" == execPrefix:
		return live, usage("--live %s: %s is for the command line of vnreplay replay only", text, execPrefix)
	case kind == "http-server":
		return httpServer(live, text, rest, port, a)
	case kind == "echo-server" && hasPort && rest == "":
		live.Name, live.App = app, apps.EchoServer{Port: int(port)}.New().Run
		return live, nil
	case kind == "udp-echo-server" && hasPort && rest == "":
		live.Name, live.App = app, apps.UDPEchoServer{Port: int(port)}.New().Run
		return live, nil
	}
	return live, usage("--live %s: no such application; there is transcript[:FILE], http-server[@PORT]:/PATH=FILE, echo-server@PORT, udp-echo-server@PORT and exec:COMMAND", text)
}

// httpServer makes the server that answers with files. The head of an answer is
// the captured one, where the capture has one for the path: a date, say, is not
// what a replay is to find out about.
func httpServer(live replay.Live, text, list string, port uint16, a *replay.Analysis) (replay.Live, error) {
	ports := []uint16{port}
	if port == 0 {
		if ports = tcpPorts(a, live.Addr); len(ports) == 0 {
			return live, usage("--live %s: nobody connects to %v in the capture: give the port, as http-server@80:...", text, live.Addr)
		}
	}
	captured := capturedAnswers(a, live.Addr)
	answers := map[string]apps.HTTPAnswer{}
	for _, item := range strings.Split(list, ",") {
		path, file, ok := strings.Cut(item, "=")
		if !ok || !strings.HasPrefix(path, "/") || file == "" {
			return live, usage("--live %s: want http-server:/PATH=FILE, several with commas", text)
		}
		body, err := readFile(file, 256<<20)
		if err != nil {
			return live, fmt.Errorf("--live: %w", err)
		}
		answer, ok := captured[path]
		if !ok {
			answer.Head = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/octet-stream\r\n\r\n", len(body))
		}
		answer.Body = body
		answers[path] = answer
	}
	return serveAnswers(live, ports, answers), nil
}

// serveAnswers makes a live side that answers on all the ports.
func serveAnswers(live replay.Live, ports []uint16, answers map[string]apps.HTTPAnswer) replay.Live {
	live.Name = "http-server"
	live.App = func(ctx context.Context, h *vnetif.Host) error {
		failed := make(chan error, len(ports))
		for _, port := range ports {
			app := apps.HTTPAnswers{Port: int(port), Answers: answers}.New()
			go func() { failed <- app.Run(ctx, h) }()
		}
		var errs []error
		for range ports {
			errs = append(errs, <-failed)
		}
		return errors.Join(errs...)
	}
	return live
}

// tcpPorts are the ports of addr to which somebody connects in the capture.
func tcpPorts(a *replay.Analysis, addr netip.Addr) (ports []uint16) {
	for _, c := range a.Conversations {
		if c.Proto == replay.TCP && c.Ends[1].Addr() == addr && !slices.Contains(ports, c.Ends[1].Port()) {
			ports = append(ports, c.Ends[1].Port())
		}
	}
	return ports
}

// capturedAnswers are the answers that addr gave in the capture, by the path of
// the URL; of several, the first.
func capturedAnswers(a *replay.Analysis, addr netip.Addr) map[string]apps.HTTPAnswer {
	answers := map[string]apps.HTTPAnswer{}
	for _, c := range a.Conversations {
		if c.Proto != replay.TCP || c.Ends[1].Addr() != addr {
			continue
		}
		requests, data := bufio.NewReader(bytes.NewReader(c.Streams[0].Data)), c.Streams[1].Data
		for {
			req, err := http.ReadRequest(requests)
			if err != nil {
				break
			}
			io.Copy(io.Discard, req.Body)
			end := bytes.Index(data, []byte("\r\n\r\n"))
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), req)
			if end < 0 || err != nil {
				break
			}
			head := data[:end+4]
			n := resp.ContentLength
			if n < 0 || n > int64(len(data)-len(head)) {
				n = int64(len(data) - len(head)) // to the end of the connection
			}
			body := data[len(head) : int64(len(head))+n]
			if _, have := answers[req.URL.Path]; !have {
				answers[req.URL.Path] = apps.HTTPAnswer{Head: head, Body: body, Close: apps.ClosesAfter(head)}
			}
			data = data[len(head)+len(body):]
		}
	}
	return answers
}
