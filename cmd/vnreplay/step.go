package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
)

// stepper asks a person before each frame.
type stepper struct {
	ctx   context.Context
	in    io.Reader
	out   io.Writer
	lines *bufio.Reader
	show  pcap.Describer
	free  uint64 // frames to send before the next question
	all   bool
}

// step shows a frame and waits for an answer. It is called by the world's loop,
// which has nothing else to do. The end of the input ends the feed.
func (s *stepper) step(f *replay.FeedFrame) error {
	text := s.show.Frame(pcap.LinkEthernet, f.Data, len(f.Data))
	switch {
	case s.all:
		return nil
	case s.free > 0:
		s.free--
		return nil
	case s.lines == nil:
		s.lines = bufio.NewReader(s.in)
		fmt.Fprintln(s.out, "Enter sends the frame, a number so many, c the rest; q ends")
	}
	fmt.Fprintf(s.out, "%s\n? ", clip(fmt.Sprintf("%d  %v  %s", f.Number, f.Due, pcap.Printable(text)), width-1))
	for {
		line, err := s.read()
		if err != nil {
			fmt.Fprintln(s.out)
			return err
		}
		switch answer := strings.TrimSpace(line); answer {
		case "":
			return nil
		case "c":
			s.all = true
			return nil
		case "q":
			return io.EOF
		default:
			if n, err := strconv.ParseUint(answer, 10, 32); err == nil && n > 0 {
				s.free = n - 1
				return nil
			}
			fmt.Fprintf(s.out, "%s: want Enter, a number, c or q\n? ", strconv.Quote(clip(answer, 40)))
		}
	}
}

// read reads a line, and stops when the command is told to end: a read of a
// terminal cannot be interrupted, so it is left behind.
func (s *stepper) read() (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := s.lines.ReadString('\n')
		if err == io.EOF && line != "" {
			err = nil
		}
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case <-s.ctx.Done():
		return "", context.Cause(s.ctx)
	}
}
