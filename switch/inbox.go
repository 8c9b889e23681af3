package vswitch

import (
	"sync"
	"time"
)

// What may wait for the endpoint of a port in a world in real time. Both keep the
// frames that are being copied and those being read within a processor's cache.
const (
	inboxFrames = 1024
	inboxBytes  = 1 << 20
	// mayFill is how many frames it takes at least to fill an inbox.
	mayFill = inboxBytes / (MaxMTU + HeaderLen + vlanTagLen + MaxPad)
)

// DefaultPatience is how long a frame waits for a receiver, in a world in real time;
// see [PortConfig].
const DefaultPatience = 100 * time.Millisecond

// inbox is what waits for a port's endpoint in a world in real time, and the
// goroutine that hands it over. Frames are copied into a batch, one behind the other;
// the goroutine takes the whole batch and leaves an empty one. The switch's mu guards
// it.
type inbox struct {
	batch  frameBatch
	taken  uint64    // batches
	filled sync.Cond // the goroutine waits for frames
	room   sync.Cond // senders wait for the batch to be taken

	// stalled: the endpoint did not take a frame within the port's patience. Nobody
	// waits for it until it takes one again.
	stalled bool
}

// frameBatch is frames one behind the other.
type frameBatch struct {
	data []byte
	ends []int // of each in data
}

// add makes room for a frame of n bytes and returns it, to be written.
func (b *frameBatch) add(n int) []byte {
	at := len(b.data)
	if at+n > cap(b.data) {
		b.data = append(make([]byte, 0, max(2*cap(b.data), at+n, 16<<10)), b.data...)
	}
	b.data = b.data[:at+n]
	b.ends = append(b.ends, at+n)
	return b.data[at : at+n : at+n]
}

// frames appends the frames to list.
func (b *frameBatch) frames(list [][]byte) [][]byte {
	at := 0
	for _, end := range b.ends {
		list = append(list, b.data[at:end:end])
		at = end
	}
	return list
}

// reset empties the batch. One that grew beyond what is usual is left to the
// garbage collector.
func (b *frameBatch) reset() {
	if cap(b.data) > 4*inboxBytes || cap(b.ends) > 4*inboxFrames {
		*b = frameBatch{}
	}
	b.data, b.ends = b.data[:0], b.ends[:0]
}

// full reports whether another frame finds no place. One that does brings its copies:
// senders wait for room for frames, of whose copies they do not know.
func (in *inbox) full() bool {
	return len(in.batch.ends) >= inboxFrames || len(in.batch.data) >= inboxBytes
}

// shutInbox ends it when p is closed: what waits there, or is on its way there, is
// forgotten. s.mu is held.
func (p *Port) shutInbox() {
	s, in := p.sw, &p.inbox
	inbox := len(in.batch.ends)
	s.waiting -= inbox
	in.batch = frameBatch{}
	in.filled.Signal()
	for _, q := range s.force.Load().ports { // p's senders wait for others, others' for p
		q.inbox.room.Broadcast()
	}
	if p.inFlight > uint64(inbox) {
		s.forgetFlights(func(ev *event) bool { return ev.port == p })
	}
}

// startInbox begins to hand frames over to p's endpoint.
func (p *Port) startInbox() {
	p.inbox.filled.L, p.inbox.room.L = &p.sw.mu, &p.sw.mu
	p.sw.w.pumps.Go(p.pump)
}

// put copies a frame, as it arrives, into p's inbox. s.mu is held.
func (p *Port) put(data []byte, hits []Hit, pad int) {
	in := &p.inbox
	if len(in.batch.ends) == 0 {
		in.filled.Signal()
	}
	if pad == 0 && len(hits) == 0 {
		copy(in.batch.add(len(data)), data)
		return
	}
	at := len(in.batch.data)
	frame := in.batch.add(len(data) + pad)[:len(data)]
	copy(frame, data)
	for i := range hits {
		if to := hits[i].To; to == nil || to == p {
			frame = hits[i].Apply(frame)
		}
	}
	in.batch.data = in.batch.data[:at+len(frame)]
	in.batch.ends[len(in.batch.ends)-1] = at + len(frame)
}

// pump hands over what comes, until the port is closed.
func (p *Port) pump() {
	s, in := p.sw, &p.inbox
	batches, isBatch := p.endpoint.(BatchEndpoint)
	var spare frameBatch
	var frames [][]byte
	for n := 0; ; {
		s.mu.Lock()
		s.waiting -= n // handed over
		for len(in.batch.ends) == 0 && !p.closed {
			in.filled.Wait()
		}
		if p.closed {
			s.mu.Unlock()
			return
		}
		in.batch, spare = spare, in.batch
		in.taken++
		in.stalled = false
		n = len(spare.ends)
		p.inFlight -= uint64(n)
		p.counters.RxFrames += uint64(n)
		p.counters.RxBytes += uint64(len(spare.data))
		in.room.Broadcast()
		s.mu.Unlock()

		frames = spare.frames(frames[:0])
		if isBatch {
			batches.DeliverBatch(frames)
		} else {
			for i, frame := range frames {
				if p.gone.Load() {
					p.undelivered(frames[i:])
					break
				}
				p.endpoint.Deliver(frame)
			}
		}
		spare.reset()
	}
}

// undelivered takes frames back that were counted as delivered when the port was closed.
func (p *Port) undelivered(frames [][]byte) {
	p.sw.mu.Lock()
	defer p.sw.mu.Unlock()
	p.inFlight += uint64(len(frames))
	p.counters.RxFrames -= uint64(len(frames))
	for _, frame := range frames {
		p.counters.RxBytes -= uint64(len(frame))
	}
}

// awaitRoom waits until all ports that a frame from p is for have room for it, and
// reports whether it had to. It gives up on those that do not take a frame within
// their patience, and when p is closed. s.mu is held; it is released while waiting.
func (s *Switch) awaitRoom(p *Port, data []byte, now int64) (waited bool) {
	if len(data) < HeaderLen {
		return false // it is not for anybody
	}
	dst := MAC(data[0:6])
	if !s.cfg.Hub && !dst.IsGroup() {
		if q := s.macs.lookup(dst, p, now); q != nil {
			return q != p && p.awaitPort(q)
		}
	}
	for again := true; again; { // while it waited for one, others may have filled another
		again = false
		for _, q := range s.force.Load().ports {
			if q != p && p.awaitPort(q) {
				again, waited = true, true
			}
		}
	}
	return waited
}

// awaitPort is awaitRoom for one receiver.
func (p *Port) awaitPort(q *Port) (waited bool) {
	s, in := p.sw, &q.inbox
	for in.full() && !in.stalled && !q.closed && !p.closed && q.cfg.Patience > 0 {
		waited = true
		taken := in.taken
		giveUp := time.AfterFunc(q.cfg.Patience, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if in.taken == taken {
				in.stalled = true
				in.room.Broadcast()
			}
		})
		in.room.Wait()
		giveUp.Stop()
	}
	return waited
}
