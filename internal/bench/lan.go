package bench

import (
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
	rec     *pcap.Recorder
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
		if l.rec, err = pcap.Create(l.path, pcap.Meta{Go: runtime.Version(), Clock: "real", Rules: s.Rules}); err != nil {
			return l, err
		}
		cfg.Recorder = l.rec
	}
	if l.sw, err = l.w.NewSwitch(cfg); err != nil {
		return l, err
	}
	return l, nil
}

// faulty installs the rules. Rules may name ports, so it comes after those.
func (l *lan) faulty() error {
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
	frames, err := countFrames(l.path)
	if err != nil {
		return err
	}
	if entered := l.w.Stats().Frames; frames != entered {
		return fmt.Errorf("the recording has %d frames, and %d entered the switch", frames, entered)
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
	for _, path := range []string{l.path, l.rec.Written()} {
		if rerr := os.Remove(path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

func countFrames(path string) (n uint64, err error) {
	r, err := pcap.Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		if _, err := r.Next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}
