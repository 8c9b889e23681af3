package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Why a run ended in its time; see [Status].Ended.
const (
	EndStopped = "stopped" // its context ended, or Stop was called
	EndTime    = "time limit"
	EndFrames  = "frame limit"
	EndBytes   = "byte limit"
	EndReader  = "the reader of the recording went away" // of a pipe
	EndFailed  = "failed"                                // Run's error says why
)

// ErrEnded: the switch does not run any more. Compare with [errors.Is].
var ErrEnded = errors.New("the switch has ended")

// Switch is a switch in real time with what hangs at it.
type Switch struct {
	cfg   Config
	world *vswitch.World
	sw    *vswitch.Switch
	began time.Time
	meter *meter
	rec   *recording
	ports []*port
	watch sync.WaitGroup

	ctx  context.Context // of the run
	stop func(why string)

	mu    sync.Mutex // guards what follows; taken before the switch's own lock
	rules []*rule
	ended string
	took  time.Duration
}

// Start opens the devices of cfg, puts them and the hosts on a switch, and begins the
// recording. Frames may pass from then on. The error is that of the first port that
// cannot be had (a *tap.PrivilegeError knows the command that would help), of a rule
// (*faults.PortError), or of the recording; nothing is left open then.
//
// A switch that was started has to be closed.
//
// It waits, until ctx ends, only for the reader of a named pipe; once it has returned, ctx
// is of no consequence.
func Start(ctx context.Context, cfg Config) (_ *Switch, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Ports = slices.Clone(cfg.Ports) // they get names
	s := &Switch{cfg: cfg, began: time.Now()}
	runs, cancel := context.WithCancelCause(context.Background())
	var once sync.Once
	s.ctx, s.stop = runs, func(why string) {
		once.Do(func() { cancel(end{why}) })
	}
	defer func() {
		if err != nil {
			s.stop(EndStopped)
			s.abandon()
		}
	}()
	// Devices first: of a port that cannot be had nothing should remain, no file either.
	for i := range cfg.Ports {
		p, err := openPort(&s.cfg.Ports[i])
		if err != nil {
			return nil, err
		}
		s.ports = append(s.ports, p)
		for _, q := range s.ports[:i] {
			if q.cfg.Name == p.cfg.Name {
				return nil, fmt.Errorf("port %s: two ports have that name: call one of them otherwise", p.cfg.Name)
			}
		}
	}
	if s.rec, err = newRecording(ctx, s.cfg); err != nil {
		return nil, err
	}
	s.meter = &meter{next: s.rec, limit: cfg.Limit, stop: s.stop}
	s.world = vswitch.NewWorld(vswitch.Config{RealTime: true, Seed: cfg.Seed})
	if s.sw, err = s.world.NewSwitch(vswitch.SwitchConfig{Name: switchName, Hub: cfg.Hub, Recorder: s.meter}); err != nil {
		return nil, err
	}
	for _, p := range s.ports {
		if err := p.connect(s); err != nil {
			return nil, err
		}
	}
	installed, err := faults.Install(s.sw, cfg.Faults)
	if err != nil {
		return nil, err
	}
	for _, in := range installed {
		s.rules = append(s.rules, &rule{Installed: in})
	}
	s.rec.serve()
	return s, nil
}

// switchName is part of the keys of draws.
const switchName = "switch"

// end is the cause of the end of a run in its time.
type end struct{ why string }

func (e end) Error() string { return e.why }

// Unwrap makes it what the world takes for no error.
func (e end) Unwrap() error { return vswitch.ErrStopped }

// Run lets the switch run until ctx ends, a limit is reached, Stop is called or the
// recording fails. It then takes the ports off the switch and finishes the recording.
// The error is that of the recording, or of the run itself; to be stopped is none.
func (s *Switch) Run(ctx context.Context) error {
	unhook := context.AfterFunc(ctx, func() { s.stop(EndStopped) })
	defer unhook()
	if s.cfg.Limit.Time > 0 {
		defer time.AfterFunc(s.cfg.Limit.Time, func() { s.stop(EndTime) }).Stop()
	}
	s.watch.Go(s.observe)
	s.watch.Go(func() {
		select {
		case <-s.rec.Failed(): // also when nothing happens on the switch
			s.stop(EndFailed)
		case <-s.ctx.Done():
		}
	})
	err := s.world.Run(s.ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	s.stop(EndFailed)
	why := end{}
	errors.As(context.Cause(s.ctx), &why)
	took := time.Since(s.began)
	s.closeDevices()
	s.watch.Wait()
	if rerr := s.rec.Close(); rerr != nil {
		err, why = rerr, end{EndFailed} // the world's error is this one, or came of it
		if isReaderGone(rerr) {
			err, why = nil, end{EndReader}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.took = why.why, took
	return err
}

// Stop ends the run. It does not wait and may be called at any time.
func (s *Switch) Stop() { s.stop(EndStopped) }

// Close lets go of everything. Call it after Run, or instead of it.
func (s *Switch) Close() error {
	s.stop(EndStopped)
	s.closeDevices()
	err := s.world.Close()
	s.watch.Wait()
	if rerr := s.rec.Close(); rerr != nil && !isReaderGone(rerr) {
		return rerr
	}
	if s.rec.Err() != nil {
		return nil // of which the world's came
	}
	return err
}

// abandon takes back a start that failed.
func (s *Switch) abandon() {
	s.closeDevices()
	if s.world != nil {
		s.world.Close()
	}
	s.watch.Wait()
	if s.rec != nil {
		s.rec.giveUp()
	}
}

func (s *Switch) closeDevices() {
	for _, p := range s.ports {
		p.close()
	}
}

// notice tells of something that happened.
func (s *Switch) notice(format string, args ...any) {
	if s.cfg.Notice != nil {
		s.cfg.Notice(fmt.Sprintf(format, args...))
	}
}

// over reports whether an error only says that the run has ended.
func (s *Switch) over(err error) bool {
	return s.ctx.Err() != nil || errors.Is(err, net.ErrClosed)
}
