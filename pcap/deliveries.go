package pcap

import (
	"errors"
	"io"
	"iter"
)

// errStop ends a run through a timeline whose visitor has had enough.
var errStop = errors.New("stop")

// Deliveries rebuilds from a wire recording what every receiver got, when: edits
// applied, copies, delays, queueing and losses as the comments say, latencies as
// the interfaces say. r must be at its start.
//
// The order is (time, interface, frame, copy). So what arrives at one port at one
// instant is in the order in which the frames entered, as on the switch; a full
// recording of the same run ([NewFullRecorder]) holds exactly these deliveries,
// and those of one port in this order.
//
// In a recording made in real time they are the arrivals as they were planned: frames
// reach their receivers when the machine gets to it. Their order is that only as far as
// the stamps of different ports are in order, which is not promised there.
//
// What was in flight when a port was closed is told by the port's statistics,
// which editcap and mergecap leave out: in a recording saved by them it counts as
// delivered.
//
// The last pair has a nil delivery and an error: [ErrNotRecording] wrapped, for a
// capture that is no wire recording or contradicts itself; the reader's, such as
// a [*TruncatedError]. At the regular end there is no such pair.
func Deliveries(r *Reader) iter.Seq2[*Delivery, error] {
	return func(yield func(*Delivery, error) bool) {
		t, err := newTimeline(r)
		if err == nil {
			t.delivered = func(d *Delivery) error {
				if !yield(d, nil) {
					return errStop
				}
				return nil
			}
			err = t.run()
		}
		if err != nil && err != errStop && err != io.EOF {
			yield(nil, err)
		}
	}
}
