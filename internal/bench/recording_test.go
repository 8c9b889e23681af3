package bench_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/vnreplay/vnreplay/internal/bench"
	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// hashing is a recorder that hashes what a switch says was sent, before another one
// is told.
type hashing struct {
	*pcap.Recorder
	frames uint64
	sum    hash.Hash
}

func (h *hashing) Record(e vswitch.Event) error {
	if sent, ok := e.(*vswitch.Sent); ok {
		h.frames++
		h.sum.Write(sent.Data)
	}
	return h.Recorder.Record(e)
}

// A bulk transfer's recording has every frame of the switch, byte for byte, in the
// order in which they entered it.
func TestRecordingOfABulkTransferIsTheSwitchsFrames(t *testing.T) {
	const size = 20_000_000
	path := filepath.Join(t.TempDir(), "bulk.pcapng")
	rec, err := pcap.Create(path, pcap.Meta{Clock: "real"})
	if err != nil {
		t.Fatal(err)
	}
	tee := &hashing{Recorder: rec, sum: sha256.New()}
	w := vswitch.NewWorld(vswitch.Config{RealTime: true})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: tee})
	if err != nil {
		t.Fatal(err)
	}
	var hosts [2]*vnetif.Host
	for i, name := range []string{"client", "server"} {
		addr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24)
		if hosts[i], err = vnetif.NewHost(sw, vnetif.HostConfig{Name: name, Addrs: []netip.Prefix{addr}}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := hosts[1].Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	err = w.Run(t.Context(), func(ctx context.Context) error {
		dial := func(ctx context.Context) (net.Conn, error) { return hosts[0].DialContext(ctx, "tcp", "server:80") }
		_, err := bench.Bulk(ctx, l, dial, size)
		return errors.Join(err, l.Close())
	})
	if err := errors.Join(err, w.Close(), rec.Close()); err != nil {
		t.Fatal(err)
	}

	r, err := pcap.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	frames, sum := uint64(0), sha256.New()
	for {
		p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		frames++
		sum.Write(p.Data)
	}
	if frames != tee.frames || string(sum.Sum(nil)) != string(tee.sum.Sum(nil)) {
		t.Errorf("%d frames in the file and %d on the switch, or other bytes", frames, tee.frames)
	}
	if least := uint64(size / vswitch.DefaultMTU); frames < least {
		t.Errorf("%d frames carried %d bytes, at least %d must have", frames, size, least)
	}
}
