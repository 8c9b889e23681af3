package main

import (
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/vnreplay/vnreplay"

// layers are the top-level directories, from the ground up. A package may import
// packages of lower layers only; directories of one layer do not know each other.
var layers = [][]string{
	{"switch", "filter"},
	{"faults", "pcap", "tap", "vnetif"},
	{"apps"},
	{"scenario", "replay", "live"},
	{"internal"},
	{"cmd", "vnettest"},
}

// free are directories that show the product from outside: they may import what
// a user may.
var free = []string{"examples", "fixtures"}

// owners are the directories that alone may import a module.
var owners = map[string]string{
	"gvisor.dev/gvisor":              "vnetif",
	"github.com/urfave/cli":          "cmd",
	"github.com/gopacket/gopacket":   "pcap",
	"github.com/google/gopacket":     "pcap",
	"golang.org/x/net/bpf":           "filter",
	"github.com/vishvananda/netlink": "tap",
	"golang.org/x/sys/unix":          "tap",
	"golang.org/x/sys/windows":       "tap",
	"golang.org/x/sys/cpu":           "faults",
}

// standardOnly are the directories that import nothing but the standard library.
var standardOnly = []string{"switch"}

// pkg is what "go list -json" says of a package, the part that is needed.
type pkg struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
}

// check returns a line for each violation of the rules.
func check(pkgs []pkg) []string {
	var wrong []string
	for _, p := range pkgs {
		dir, ok := topDir(p.ImportPath)
		from := layer(dir)
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s: no package stands at the top level", p.ImportPath))
			continue
		case slices.Contains(free, dir):
			continue
		case from < 0:
			wrong = append(wrong, fmt.Sprintf("%s: directory %s has no layer; give it one in tools/imports/rules.go", p.ImportPath, dir))
			continue
		}
		if len(p.CgoFiles) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: cgo in %s", p.ImportPath, strings.Join(p.CgoFiles, ", ")))
		}
		for _, imp := range p.Imports {
			if why := forbidden(dir, from, imp); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imp, why))
			}
		}
	}
	return wrong
}

// forbidden says why a package of directory dir, in layer from, may not import imp.
func forbidden(dir string, from int, imp string) string {
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	if to, own := topDir(imp); own {
		switch at := layer(to); {
		case to == dir:
			return ""
		case at < 0:
			return fmt.Sprintf("%s is not part of the product", to)
		case at == from:
			return fmt.Sprintf("%s and %s are of one layer", dir, to)
		case at > from:
			return fmt.Sprintf("%s lies above %s", to, dir)
		}
		return ""
	}
	if slices.Contains(standardOnly, dir) {
		return dir + " imports the standard library only"
	}
	for mod, owner := range owners {
		if within(imp, mod) && owner != dir {
			return fmt.Sprintf("only %s may", owner)
		}
	}
	return ""
}

// within reports whether an import path lies in mod, of whatever major version.
func within(imp, mod string) bool {
	rest, ok := strings.CutPrefix(imp, mod)
	return ok && (rest == "" || rest[0] == '/')
}

// topDir returns the top-level directory of a package of this module.
func topDir(importPath string) (dir string, ok bool) {
	rest, ok := strings.CutPrefix(importPath, module+"/")
	dir, _, _ = strings.Cut(rest, "/")
	return dir, ok
}

func layer(dir string) int {
	return slices.IndexFunc(layers, func(dirs []string) bool { return slices.Contains(dirs, dir) })
}
