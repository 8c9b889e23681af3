package vswitch

import (
	"bytes"
	"runtime"
)

// change lets set, which is given w.mu, change what holds for frames: at once
// while the world does not run and in what its loop calls; otherwise the calling
// goroutine is an application's, and parks until all that was sent before has
// entered the switches. Key orders changes of one instant. In real time it happens
// between two frames.
func (s *Switch) change(key string, set func()) {
	w := s.w
	now := func() {
		s.lock()
		defer s.unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		set()
	}
	w.mu.Lock()
	runs := w.phase == running && !w.cfg.RealTime
	w.mu.Unlock()
	if !runs || w.loopID == goroutineID() {
		now()
		return
	}
	op := &Op{Kind: OpClose, Key: key, What: func() string { return "changing " + key }, Try: func() bool { now(); return true }}
	if w.changer.Do(op) != nil { // the run ended just now
		now()
	}
}

// goroutineID returns the number of the calling goroutine, as stacks show it. The
// runtime tells it in no other way; that takes about a microsecond.
func goroutineID() string {
	var buf [64]byte
	id, _, _ := bytes.Cut(bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine ")), []byte(" "))
	return string(id)
}
