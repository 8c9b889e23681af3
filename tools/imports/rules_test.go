package main

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const m = module + "/"
	for _, tc := range []struct {
		name string
		pkg  pkg
		want string // part of the violation; empty: none
	}{
		{"down", pkg{ImportPath: m + "apps", Imports: []string{"net/http", m + "vnetif", m + "switch"}}, ""},
		{"within a directory", pkg{ImportPath: m + "pcap/bridge", Imports: []string{m + "pcap", "github.com/google/gopacket"}}, ""},
		{"the owner", pkg{ImportPath: m + "cmd/vnreplay", Imports: []string{"github.com/urfave/cli/v2", m + "replay"}}, ""},
		{"free", pkg{ImportPath: m + "examples/http", Imports: []string{m + "vnettest", "gvisor.dev/gvisor/pkg/log"}}, ""},
		{"up", pkg{ImportPath: m + "vnetif", Imports: []string{m + "apps"}}, "apps lies above vnetif"},
		{"leaves", pkg{ImportPath: m + "pcap", Imports: []string{m + "faults"}}, "pcap and faults are of one layer"},
		{"siblings", pkg{ImportPath: m + "scenario", Imports: []string{m + "replay"}}, "scenario and replay are of one layer"},
		{"to the outside", pkg{ImportPath: m + "scenario", Imports: []string{m + "fixtures"}}, "fixtures is not part of the product"},
		{"gVisor", pkg{ImportPath: m + "apps", Imports: []string{"gvisor.dev/gvisor/pkg/tcpip"}}, "only vnetif may"},
		{"cli", pkg{ImportPath: m + "scenario", Imports: []string{"github.com/urfave/cli/v2"}}, "only cmd may"},
		{"gopacket", pkg{ImportPath: m + "faults", Imports: []string{"github.com/gopacket/gopacket/layers"}}, "only pcap may"},
		{"a library in the switch", pkg{ImportPath: m + "switch", Imports: []string{"golang.org/x/sync/errgroup"}}, "switch imports the standard library only"},
		{"unknown directory", pkg{ImportPath: m + "common"}, "common has no layer"},
		{"top level", pkg{ImportPath: module}, "no package stands at the top level"},
		{"cgo", pkg{ImportPath: m + "tap", CgoFiles: []string{"tap.go"}}, "cgo in tap.go"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Join(check([]pkg{tc.pkg}), "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) || strings.Contains(got, "\n") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
