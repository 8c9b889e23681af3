package pcap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// listener is one stream of a broadcaster.
type listener struct {
	got   lockedBuffer
	stats pcap.StreamStats
	err   error
	ended sync.WaitGroup
}

func listen(t *testing.T, b *pcap.Broadcaster, w io.Writer) *listener {
	l := &listener{}
	if w == nil {
		w = &l.got
	}
	l.ended.Go(func() { l.stats, l.err = b.Stream(t.Context(), "one", w) })
	synctest.Wait() // it has joined
	return l
}

// Whoever joins gets a whole capture of what is recorded from then on.
func TestALateStreamIsTheRestOfTheRecording(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := randomLAN(rt).log
		joins := rapid.SliceOfN(rapid.IntRange(0, len(log.events)), 1, 3).Draw(rt, "joins")
		whole := log.recorded(rt, realMeta())
		all := sends(rt, whole)
		// A bubble of fake time, with a test of its own.
		synctest.Test(t, func(t *testing.T) {
			b := pcap.NewBroadcaster(pcap.BroadcasterConfig{})
			r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{b}, Flush: time.Millisecond})
			var streams []*listener
			for i := range len(log.events) + 1 {
				for _, at := range joins {
					if at == i {
						time.Sleep(time.Second) // all before is written
						streams = append(streams, listen(t, b, nil))
						synctest.Wait()
					}
				}
				if i < len(log.events) {
					ok(t, r.Record(log.events[i]))
				}
			}
			ok(t, r.Close())
			slices.Sort(joins)
			for i, l := range streams {
				l.ended.Wait()
				ok(t, l.err)
				before := 0
				for _, e := range log.events[:joins[i]] {
					if _, isSent := e.(*vswitch.Sent); isSent {
						before++
					}
				}
				got := l.got.bytes()
				same(t, "stream", sends(t, got), all[before:])
				rd := read(t, got)
				n := len(packets(t, rd))
				meta, isRecording := rd.Meta()
				if !isRecording || meta.After != uint64(before) || meta.View != "wire" || l.stats.Frames != uint64(n) || l.stats.Bytes != int64(len(got)) {
					t.Fatalf("%+v, %+v", meta, l.stats)
				}
				for _, ifc := range rd.Interfaces() {
					if ifc.Stats == nil {
						t.Fatalf("no statistics of %s", ifc.Name)
					}
				}
				books, err := pcap.Balance(read(t, got), nil)
				ok(t, err)
				ok(t, books.Check())
				viewFull(t, got)
			}
		})
	})
}

// A subscriber that does not keep up misses packets, which its stream tells; nobody
// waits for it.
func TestASlowSubscriberHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 3000, 1514)
		var fast lockedBuffer
		slow := &gate{&lockedBuffer{}, make(chan struct{})}
		b := pcap.NewBroadcaster(pcap.BroadcasterConfig{Backlog: 1 << 20})
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(&fast, "file"), b}, Flush: time.Millisecond})
		l := listen(t, b, slow)
		for _, e := range log.events[:2000] {
			ok(t, r.Record(e))
		}
		time.Sleep(time.Second)
		s := b.Streams()
		if len(s) != 1 || s[0].Name != "one" || s[0].Waiting > 1<<20 || s[0].Lost < 500 {
			t.Errorf("%+v", s)
		}
		if st := r.Stats(); st.WaitingBytes > 0 {
			t.Errorf("the recorder waits: %+v", st)
		}
		close(slow.open)
		time.Sleep(time.Second)
		for i, e := range log.events[2000:] {
			if i%100 == 0 {
				time.Sleep(time.Millisecond) // it keeps up now
			}
			ok(t, r.Record(e))
		}
		ok(t, r.Close())
		l.ended.Wait()
		ok(t, l.err)
		if string(fast.bytes()) != string(log.recorded(t, realMeta())) {
			t.Error("the other output is not whole")
		}
		rd := read(t, slow.Writer.(*lockedBuffer).bytes())
		last, told := uint64(0), uint64(0)
		for p, err := range rd.Packets() {
			ok(t, err)
			if p.Lost != p.ID-last-1 {
				t.Fatalf("frame %d comes after %d and tells of %d lost", p.ID, last, p.Lost)
			}
			last, told = p.ID, told+p.Lost
		}
		st := rd.Interfaces()[0].Stats
		if told != l.stats.Lost || st.Lost != told || st.Dropped != told || last != 3000 || l.stats.Frames+told != 3000 {
			t.Errorf("%d told, %+v, %+v", told, st, l.stats)
		}
		path := file(t, "slow.pcapng", slow.Writer.(*lockedBuffer).bytes())
		clean(t, "capinfos", path)
		out := clean(t, "tshark", "-r", path, "-Y", "frame.drop_count > 0", "-T", "fields", "-e", "frame.drop_count")
		if strings.TrimSpace(out) != fmt.Sprint(told) {
			t.Errorf("tshark: %q drops, want %d", out, told)
		}
	})
}

// What the recorder itself lost and what a subscriber missed adds up.
func TestLossesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := traffic(t, 7000, 1514)
		slow, disk := &gate{&lockedBuffer{}, make(chan struct{})}, &gate{io.Discard, make(chan struct{})}
		b := pcap.NewBroadcaster(pcap.BroadcasterConfig{Backlog: 200_000})
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{pcap.ToWriter(disk, "disk"), b}, Queue: 1, DropWhenFull: true, Flush: 10 * time.Millisecond})
		l := listen(t, b, slow)
		for _, e := range log.events[:3000] {
			ok(t, r.Record(e))
		}
		close(disk.open)
		time.Sleep(time.Second)
		for _, e := range log.events[3000:3300] {
			ok(t, r.Record(e))
		}
		time.Sleep(time.Second)
		close(slow.open)
		time.Sleep(time.Second)
		for _, e := range log.events[3300:] {
			ok(t, r.Record(e))
			time.Sleep(time.Millisecond)
		}
		ok(t, r.Close())
		l.ended.Wait()
		rd := read(t, slow.Writer.(*lockedBuffer).bytes())
		told := uint64(0)
		for p, err := range rd.Packets() {
			ok(t, err)
			told += p.Lost
		}
		lost := r.Stats().Lost + l.stats.Lost
		if st := rd.Interfaces()[0].Stats; r.Stats().Lost == 0 || told != lost || st.Lost != lost || st.Dropped != lost {
			t.Errorf("%d told, %+v, want %d", told, st, lost)
		}
	})
}

func TestStreamsThatEnd(t *testing.T) {
	log := traffic(t, 10, 60)
	begin := func(t *testing.T) (*pcap.Broadcaster, *pcap.LiveRecorder) {
		b := pcap.NewBroadcaster(pcap.BroadcasterConfig{})
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{b}, Flush: time.Millisecond, CloseWait: 50 * time.Millisecond})
		for _, e := range log.events[:5] {
			ok(t, r.Record(e))
		}
		return b, r
	}
	// stream streams to a connection, of which the test has the other end.
	stream := func(ctx context.Context, b *pcap.Broadcaster) (net.Conn, net.Conn, chan error) {
		near, far := net.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := b.Stream(ctx, "conn", near)
			ended <- err
		}()
		_, err := io.ReadFull(far, make([]byte, 4)) // it has joined
		ok(t, err)
		return near, far, ended
	}
	t.Run("the reader goes away", func(t *testing.T) {
		b, r := begin(t)
		near, far, ended := stream(t.Context(), b)
		far.Close()
		if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
		near.Close()
		if n := len(b.Streams()); n != 0 {
			t.Errorf("%d streams", n)
		}
		ok(t, r.Close())
	})
	t.Run("called off while it writes", func(t *testing.T) {
		b, r := begin(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		near, far, ended := stream(ctx, b)
		defer far.Close()
		defer near.Close()
		why := errors.New("enough")
		cancel(why)
		if err := <-ended; err != why {
			t.Errorf("got %v", err)
		}
		ok(t, r.Close())
	})
	t.Run("not read at the end", func(t *testing.T) {
		b, r := begin(t)
		near, far, ended := stream(t.Context(), b)
		defer far.Close()
		defer near.Close()
		ok(t, r.Close()) // what the others got is whole
		if err := <-ended; !errors.Is(err, pcap.ErrCutOff) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("before and after", func(t *testing.T) {
		b := pcap.NewBroadcaster(pcap.BroadcasterConfig{})
		if _, err := b.Stream(t.Context(), "", io.Discard); !errors.Is(err, pcap.ErrOver) {
			t.Errorf("got %v", err)
		}
		b, r := begin(t)
		r.Abort()
		if _, err := b.Stream(t.Context(), "", io.Discard); !errors.Is(err, pcap.ErrOver) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("two recorders", func(t *testing.T) {
		b, r := begin(t)
		if _, err := pcap.NewLiveRecorder(pcap.LiveConfig{Meta: testMeta, Outputs: []pcap.Output{b}}); err == nil {
			t.Error("two recorders share a broadcaster")
		}
		ok(t, r.Close())
	})
}

// Wireshark opens the stream of one who joined late, when ports were gone already.
func TestWiresharkOpensALateStream(t *testing.T) {
	log := everyClause(t).log
	l := &listener{}
	synctest.Test(t, func(t *testing.T) {
		b := pcap.NewBroadcaster(pcap.BroadcasterConfig{})
		r := live(t, pcap.LiveConfig{Outputs: []pcap.Output{b}})
		joined := false
		for _, e := range log.events {
			ok(t, r.Record(e))
			if _, closed := e.(*vswitch.Disconnected); closed && !joined {
				joined = true
				time.Sleep(time.Second)
				l.ended.Go(func() { l.stats, l.err = b.Stream(t.Context(), "late", &l.got) })
				synctest.Wait()
			}
		}
		ok(t, r.Close())
		l.ended.Wait()
		ok(t, l.err)
	})
	path := file(t, "late.pcapng", l.got.bytes())
	info := clean(t, "capinfos", path)
	if !strings.Contains(info, fmt.Sprintf("Number of packets:   %d", l.stats.Frames)) || l.stats.Frames == 0 {
		t.Errorf("%+v\n%s", l.stats, info)
	}
	clean(t, "tcpdump", "-n", "-r", path)
	rows := columns(t, path, "frame.interface_name", "frame.packet_id")
	for i, p := range packets(t, read(t, l.got.bytes())) {
		name := interfacesOf(t, l.got.bytes())[p.Interface].Name
		if want := fmt.Sprintf("%s|%d", name, p.ID); strings.Join(rows[i], "|") != want {
			t.Errorf("tshark: %v, want %s", rows[i], want)
		}
	}
}

// interfacesOf returns the interfaces of a capture.
func interfacesOf(t tb, b []byte) []pcap.Interface {
	t.Helper()
	r := read(t, b)
	packets(t, r)
	return r.Interfaces()
}
