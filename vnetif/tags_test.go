package vnetif_test

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// TestTaggedHosts lets two hosts talk whose frames bear two VLAN tags: every frame
// has them, full-sized ones too.
func TestTaggedHosts(t *testing.T) {
	tags := []byte{0x88, 0xa8, 0x00, 100, 0x81, 0x00, 0x20, 7}
	l := newLAN(t, setup{})
	host := func(name, addr string, tags []byte) *vnetif.Host {
		return l.host(vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}, Tags: tags, Port: vswitch.PortConfig{MTU: 1504}})
	}
	a, b := host("a", "10.1.0.1/24", tags), host("b", "10.1.0.2/24", tags)
	frames := 0
	l.sw.AddRule("tags", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) (v vswitch.Verdict) {
		if to != nil {
			return v
		}
		frames++
		if d := pcap.Decode(f.Data); len(d.VLANs) != 2 || d.VLANs[0].ID != 100 || d.VLANs[1].ID != 7 || d.VLANs[1].Priority != 1 || d.Problem != "" {
			t.Errorf("frame %d has tags %+v (%s)", f.Seq, d.VLANs, d.Problem)
		}
		return v
	}))
	l.w.Background("b", func(context.Context) error {
		ln, err := b.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		c.Write([]byte(strings.Repeat("x", 10000)))
		return c.Close()
	})
	must(t, l.w.Run(t.Context(), func(context.Context) error {
		c, err := a.Dial("tcp", "10.1.0.2:80")
		if err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 10000))
		return err
	}))
	if frames < 10 {
		t.Errorf("%d frames", frames)
	}
	for _, wrong := range [][]byte{tags[:3], make([]byte, 20)} {
		if _, err := vnetif.NewHost(l.sw, vnetif.HostConfig{Name: "c", Addrs: prefixes("10.1.0.3/24"), Tags: wrong}); err == nil {
			t.Errorf("%d bytes of tags are taken", len(wrong))
		}
	}
}
