package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Setting is in what vnreplay is measured: one switch, in real time.
type Setting struct {
	// MTU of all ports, in bytes behind the Ethernet header. Default 1500.
	MTU int
	// Dir is where the recording is written while it is measured; "" for none.
	Dir string
	// Rules of faults, as their language writes them.
	Rules []string
}

// lan is one switch made for one run.
type lan struct {
	setting Setting
	w       *vswitch.World
	sw      *vswitch.Switch
	ports   []*vswitch.Port
	rec     *pcap.LiveRecorder // nil for none
	file    *pcap.File
	path    string // of the recording
}

func newLAN(s Setting) (l *lan, err error) {
	l = &lan{setting: s, w: vswitch.NewWorld(vswitch.Config{Seed: 1, RealTime: true})}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	var cfg vswitch.SwitchConfig
	if s.Dir != "" {
		l.path = filepath.Join(s.Dir, "vnreplay.pcapng")
		if l.file, err = pcap.CreateFile(l.path); err != nil {
			return l, err
		}
		l.rec, err = pcap.NewLiveRecorder(pcap.LiveConfig{
			Meta:    pcap.Meta{Go: runtime.Version(), Rules: s.Rules},
			Outputs: []pcap.Output{pcap.ToFile(l.file)},
		})
		if err != nil {
			l.file.Abort()
			return l, err
		}
		cfg.Recorder = l.rec
	}
	if l.sw, err = l.w.NewSwitch(cfg); err != nil {
		return l, err
	}
	return l, nil
}

// ready installs the rules, when all ports are there.
func (l *lan) ready() error {
	l.ports = l.sw.Ports()
	rules, err := faults.ParseAll(l.setting.Rules)
	if err != nil {
		return err
	}
	_, err = faults.Install(l.sw, rules)
	return err
}

// port is the configuration of a port.
func (l *lan) port(name string) vswitch.PortConfig {
	return vswitch.PortConfig{Name: name, MTU: l.setting.MTU}
}

// finish ends the recording as part of what is measured: r has the time up to
// where everything had arrived, and gets what is needed until the file is whole.
// Then it holds the file against the switch, outside the time.
func (l *lan) finish(r *Result) error {
	if l.rec == nil {
		return nil
	}
	watch := Start()
	err := l.rec.Close()
	elapsed, cpu := watch.Stop()
	r.Elapsed, r.CPU = r.Elapsed+elapsed, r.CPU+cpu
	if err != nil {
		return err
	}
	return l.check()
}

// check holds the recording against the switch: as many frames, as many bytes, and
// none longer than the MTU lets it be.
func (l *lan) check() error {
	var sent vswitch.Counters
	for _, p := range l.ports {
		c := p.Counters()
		sent.TxFrames, sent.TxBytes = sent.TxFrames+c.TxFrames, sent.TxBytes+c.TxBytes
	}
	r, err := pcap.Open(l.path)
	if err != nil {
		return err
	}
	defer r.Close()
	var frames, bytes uint64
	mtu := cmp.Or(l.setting.MTU, vswitch.DefaultMTU)
	for {
		p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		frames, bytes = frames+1, bytes+uint64(len(p.Data))
		if len(p.Data) > mtu+vswitch.HeaderLen {
			return fmt.Errorf("frame %d of the recording has %d bytes, which the MTU of %d does not let through", p.Number, len(p.Data), mtu)
		}
	}
	if frames != sent.TxFrames || bytes != sent.TxBytes {
		return fmt.Errorf("the recording has %d frames with %d bytes, and %d with %d entered the switch", frames, bytes, sent.TxFrames, sent.TxBytes)
	}
	return nil
}

// close ends the world and removes the recording.
func (l *lan) close() error {
	err := l.w.Close()
	if l.rec == nil {
		return err
	}
	err = errors.Join(err, l.rec.Close())
	for _, path := range []string{l.path, l.file.Written()} {
		if rerr := os.Remove(path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}
