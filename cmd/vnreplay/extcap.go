package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/filter"
	"github.com/vnreplay/vnreplay/live/control"
	"github.com/vnreplay/vnreplay/scenario"
)

// Wireshark runs what it finds in its extcap folder, with arguments of its own; see
// extcap(4) of Wireshark. This program, called so, shows the switches that run.

// extcapCall is such a command line.
type extcapCall struct {
	interfaces, dlts, config, capture bool
	iface, fifo, filter               string
	hasFilter                         bool
}

// parseExtcap reads a command line of Wireshark; ok is false if it is none.
func parseExtcap(args []string) (c extcapCall, ok bool) {
	for i := 1; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		take := func() string {
			if !inline && i+1 < len(args) {
				i++
				value = args[i]
			}
			return value
		}
		switch name {
		case "--extcap-interfaces":
			c.interfaces = true
		case "--extcap-dlts":
			c.dlts = true
		case "--extcap-config":
			c.config = true
		case "--capture":
			c.capture = true
		case "--extcap-interface":
			c.iface = take()
		case "--fifo":
			c.fifo = take()
		case "--extcap-capture-filter":
			c.filter, c.hasFilter = take(), true
		}
	}
	return c, c.interfaces || c.iface != ""
}

// extcapPrefix begins the names of switches as interfaces.
const extcapPrefix = "vnreplay-"

func (c *extcapCall) run(stdout, stderr io.Writer) error {
	switch {
	case c.interfaces:
		return listInterfaces(stdout)
	case c.dlts:
		_, err := io.WriteString(stdout, "dlt {number=1}{name=EN10MB}{display=Ethernet}\n")
		return err
	case c.config: // there is nothing to choose
		return nil
	case c.capture:
		return c.stream(stderr)
	case c.hasFilter: // Wireshark asks whether the expression is one
		if c.filter == "" {
			return nil
		}
		if _, err := filter.Compile(c.filter); err != nil {
			fmt.Fprintln(stdout, err)
			return quiet{exitFailed}
		}
		return nil
	}
	return usage("extcap: nothing to do")
}

func listInterfaces(w io.Writer) error {
	found, err := control.Find()
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "extcap {version=%s}\n", sentence(scenario.Versions().VNReplay))
	for _, path := range found {
		about := "a running switch"
		if cl, err := control.Dial(path); err == nil {
			if a, err := cl.Do(control.Request{Do: control.DoStatus}); err == nil && a.Status != nil {
				var ports []string
				for _, p := range a.Status.Ports {
					ports = append(ports, p.Name)
				}
				about = clip(strings.Join(ports, ", "), 40)
			}
			cl.Close()
		}
		fmt.Fprintf(&b, "interface {value=%s%s}{display=vnreplay: %s}\n", extcapPrefix, socketName(path), sentence(about))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// sentence is a text in the braces of a sentence.
func sentence(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '{' || r == '}' || r < ' ' {
			return '_'
		}
		return r
	}, text)
}

// stream writes a switch's frames into Wireshark's fifo.
func (c *extcapCall) stream(stderr io.Writer) error {
	if c.fifo == "" {
		return usage("extcap: --fifo is missing")
	}
	found, err := control.Find()
	if err != nil {
		return err
	}
	for _, path := range found {
		if extcapPrefix+socketName(path) != c.iface {
			continue
		}
		cl, err := control.Dial(path)
		if err != nil {
			return err
		}
		defer cl.Close()
		return streamTo(stderr, cl, c.fifo, c.filter)
	}
	return usage("extcap: %s does not run any more: refresh the interfaces", c.iface)
}

func extcapCommand() *cli.Command {
	return &cli.Command{
		Name: "extcap", Usage: "show running switches as interfaces of Wireshark",
		UsageText:   "vnreplay extcap install [--dir DIR]",
		Description: "Example: vnreplay extcap install",
		Subcommands: []*cli.Command{{
			Name: "install", Usage: "link this program into Wireshark's extcap folder",
			UsageText: "vnreplay extcap install [--dir DIR]",
			Description: "Every running vnreplay record of yours is then an interface of Wireshark and\n" +
				"tshark; capture filters are those of tcpdump.\n\n" +
				"Example: vnreplay extcap install && tshark -D",
			Flags: []cli.Flag{&cli.StringFlag{Name: "dir", Usage: "the folder is `DIR` (tshark -G folders)"}},
			Action: func(c *cli.Context) error {
				if err := wantArgs(c, 0, 0, ""); err != nil {
					return err
				}
				return installExtcap(c.App.Writer, c.String("dir"))
			},
		}},
		Action: func(*cli.Context) error {
			return usage("extcap: what to do? there is install: see vnreplay extcap --help")
		},
	}
}

// installExtcap makes the link.
func installExtcap(w io.Writer, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = extcapDir(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("extcap: %w", err)
	}
	link := filepath.Join(dir, "vnreplay")
	if target, err := os.Readlink(link); err == nil {
		if target == self {
			_, err := fmt.Fprintf(w, "%s is there\n", link)
			return err
		}
		if err := os.Remove(link); err != nil { // to another one
			return fmt.Errorf("extcap: %w", err)
		}
	}
	if err := os.Symlink(self, link); err != nil {
		return fmt.Errorf("extcap: %w (as its owner: ln -sf %s %s)", err, self, link)
	}
	_, err = fmt.Fprintf(w, "%s -> %s\n", link, self)
	return err
}

// extcapDir is the user's own extcap folder, as Wireshark says it, or else everybody's
// (Wireshark before 4.2 has no other), or, without Wireshark, where it is usual.
func extcapDir() (string, error) {
	if dir := os.Getenv("WIRESHARK_EXTCAP_DIR"); dir != "" {
		return dir, nil
	}
	if out, err := exec.Command("tshark", "-G", "folders").Output(); err == nil {
		all := ""
		for line := range strings.Lines(string(out)) {
			name, dir, _ := strings.Cut(line, ":")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "personal extcap path":
				return strings.TrimSpace(dir), nil
			case "extcap path", "global extcap path":
				all = strings.TrimSpace(dir)
			}
		}
		if all != "" {
			return all, nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("extcap: where is Wireshark's extcap folder? Give --dir; Wireshark shows it under Help, About, Folders")
	}
	return filepath.Join(home, ".local", "lib", "wireshark", "extcap"), nil
}
