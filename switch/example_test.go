package vswitch_test

import (
	"context"
	"fmt"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Two raw endpoints on a switch: a frame takes the latency of both cables.
func ExampleWorld_Run() {
	w := vswitch.NewWorld(vswitch.Config{Seed: 1})
	defer w.Close()
	sw, _ := w.NewSwitch(vswitch.SwitchConfig{})

	alice, _ := sw.Connect(vswitch.PortConfig{Name: "alice", Latency: 10 * time.Millisecond},
		vswitch.EndpointFunc(func([]byte) {}))
	bob, _ := sw.Connect(vswitch.PortConfig{Name: "bob", Latency: 5 * time.Millisecond},
		vswitch.EndpointFunc(func(data []byte) {
			fmt.Printf("%v bob got %q\n", w.Now().Format("15:04:05.000"), data[vswitch.HeaderLen:])
		}))

	err := w.Run(context.Background(), func(context.Context) error {
		return alice.Send(ether(bob.MAC(), alice.MAC(), "hello"))
	})
	fmt.Println(err, w.Stats().Virtual)
	// Output:
	// 00:00:00.015 bob got "hello"
	// <nil> 15ms
}

// An application's goroutines wait on the world's clock by parking in [Node.Do].
// Hours pass in no time.
func ExampleNode_Do() {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	node, _ := w.NewNode("host")
	clock := node.AppClock(0)

	sleep := func(d time.Duration) error {
		fired := false
		op := &vswitch.Op{Kind: vswitch.OpSleep}
		op.Try = func() bool { return fired }
		clock.AfterFunc(d, func() { fired = true; node.Wake(op) })
		return node.Do(op)
	}
	err := w.Run(context.Background(), func(context.Context) error {
		fmt.Println(clock.Now())
		err := sleep(30 * time.Minute)
		fmt.Println(clock.Now())
		return err
	})
	fmt.Println(err)
	// Output:
	// 2026-01-01 00:00:00 +0000 UTC
	// 2026-01-01 00:30:00 +0000 UTC
	// <nil>
}

// A plain function is a rule. This one loses every second frame on its way to
// bob, and nobody else.
func ExampleSwitch_AddRule() {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, _ := w.NewSwitch(vswitch.SwitchConfig{})
	hear := func(name string) *vswitch.Port {
		p, _ := sw.Connect(vswitch.PortConfig{Name: name}, vswitch.EndpointFunc(func(data []byte) {
			fmt.Printf("%s got %q\n", name, data[vswitch.HeaderLen:])
		}))
		return p
	}
	alice, bob, _ := hear("alice"), hear("bob"), hear("carol")

	n := 0
	loss := sw.AddRule("loss", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to != bob {
			return vswitch.Verdict{}
		}
		n++
		return vswitch.Verdict{Drop: n%2 == 0, Reason: "every-second"}
	}))
	_ = w.Run(context.Background(), func(context.Context) error {
		for _, text := range []string{"one", "two"} {
			if err := alice.Send(ether(vswitch.Broadcast, alice.MAC(), text)); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println("dropped:", loss.Counts().Dropped)
	// Output:
	// bob got "one"
	// carol got "one"
	// carol got "two"
	// dropped: 1
}

// printer is a recorder that prints. A recorder is also the simplest test double
// of a recording.
type printer struct{}

func (printer) Record(e vswitch.Event) error {
	switch e := e.(type) {
	case *vswitch.Connected:
		fmt.Println("connected", e.Port.Name())
	case *vswitch.Sent:
		fmt.Printf("frame %d: %s sent %d bytes\n", e.Seq, e.From.Name(), len(e.Data))
		for _, r := range e.Receivers {
			fmt.Printf("  %s gets it %v later\n", r.Port.Name(), r.Arrivals[0].Sub(e.At))
		}
	case *vswitch.Disconnected:
		fmt.Println("disconnected", e.Port.Name(), "received", e.Port.Counters().RxFrames)
	}
	return nil
}

func (printer) Close() error { return nil }

func ExampleRecorder() {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	sw, _ := w.NewSwitch(vswitch.SwitchConfig{Recorder: printer{}})
	deaf := vswitch.EndpointFunc(func([]byte) {})
	alice, _ := sw.Connect(vswitch.PortConfig{Name: "alice"}, deaf)
	_, _ = sw.Connect(vswitch.PortConfig{Name: "bob"}, deaf)
	_ = w.Run(context.Background(), func(context.Context) error {
		return alice.Send(ether(vswitch.Broadcast, alice.MAC(), "hello"))
	})
	// Output:
	// connected alice
	// connected bob
	// frame 1: alice sent 19 bytes
	//   bob gets it 50µs later
	// disconnected alice received 0
	// disconnected bob received 1
}

// Goroutines of one host that make the same call at the same instant are told
// apart by a key, so that their order does not depend on the Go scheduler. A
// host's blocking calls take it from their context.
func ExampleWithOrder() {
	w := vswitch.NewWorld(vswitch.Config{})
	defer w.Close()
	node, _ := w.NewNode("host")
	call := func(ctx context.Context) {
		key := vswitch.Order(ctx)
		_ = node.Do(&vswitch.Op{Kind: vswitch.OpDial, Key: key, Try: func() bool {
			fmt.Println("dial", key)
			return true
		}})
	}
	_ = w.Run(context.Background(), func(ctx context.Context) error {
		done := make(chan struct{})
		for _, key := range []string{"c", "a", "b"} {
			go func() {
				call(vswitch.WithOrder(ctx, key))
				done <- struct{}{}
			}()
		}
		for range 3 {
			<-done
		}
		return nil
	})
	fmt.Println("left to the scheduler:", w.Stats().Unordered)
	// Output:
	// dial a
	// dial b
	// dial c
	// left to the scheduler: 0
}

// One seed feeds any number of independent streams, told apart by their names.
func ExampleNewRand() {
	loss := vswitch.NewRand(7, "rule", "loss")
	jitter := vswitch.NewRand(7, "rule", "jitter")
	fmt.Println(loss.IntN(100), loss.IntN(100), jitter.IntN(100))

	// Another draw from one stream does not move the other.
	loss, jitter = vswitch.NewRand(7, "rule", "loss"), vswitch.NewRand(7, "rule", "jitter")
	fmt.Println(loss.IntN(100), jitter.IntN(100))
	// Output:
	// 17 86 2
	// 17 2
}

// A derived seed depends on the seed and the names, and on nothing else.
func ExampleDerive() {
	fmt.Printf("%#x\n", vswitch.Derive(7, "client"))
	fmt.Printf("%#x\n", vswitch.Derive(7, "server"))
	// Output:
	// 0xd9480d2a3860700
	// 0xc99f4b150b6b62fb
}

// A frame waits for two others of its path.
func ExampleHolds() {
	var holds vswitch.Holds[string, int]
	waiting := holds.Hold("client > server", 2)
	waiting.Copies = append(waiting.Copies, 1)
	for frame := 2; frame <= 4; frame++ {
		for passed := range holds.Pass("client > server") {
			fmt.Println("frame", passed.Copies[0], "arrives behind frame", frame)
		}
	}
	// Output: frame 1 arrives behind frame 3
}
