package faults_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/vnetif"
)

// exampleWire is what the examples below share: two ports, the frames that reach the
// server, and a host elsewhere whose clock the test sleeps by.
type exampleWire struct {
	world          *vswitch.World
	sw             *vswitch.Switch
	client, server *vswitch.Port
	clock          *vnetif.Host
}

func newExampleWire() *exampleWire {
	w := &exampleWire{world: vswitch.NewWorld(vswitch.Config{Seed: 7})}
	w.sw, _ = w.world.NewSwitch(vswitch.SwitchConfig{Name: "lan"})
	w.client, _ = w.sw.Connect(vswitch.PortConfig{Name: "client"}, vswitch.EndpointFunc(func([]byte) {}))
	w.server, _ = w.sw.Connect(vswitch.PortConfig{Name: "server"}, vswitch.EndpointFunc(func(data []byte) {
		fmt.Printf("%-8v %s\n", w.world.Now().Sub(w.world.Start()).Round(time.Millisecond), data[14:])
	}))
	aside, _ := w.world.NewSwitch(vswitch.SwitchConfig{Name: "aside"})
	w.clock, _ = vnetif.NewHost(aside, vnetif.HostConfig{Name: "clock", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	return w
}

// say sends words from client to server, 10 ms apart.
func (w *exampleWire) say(words ...string) error {
	dst, src := w.server.MAC(), w.client.MAC()
	for _, word := range words {
		frame := append(append(dst[:], src[:]...), 0x88, 0xb5)
		if err := w.client.Send(append(frame, word...)); err != nil {
			return err
		}
		if err := w.clock.Sleep(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// install adds one rule.
func (w *exampleWire) install(text string) (*faults.Installed, error) {
	rule, err := faults.Parse(text)
	if err != nil {
		return nil, err
	}
	installed, err := faults.Install(w.sw, []*faults.Rule{rule})
	if err != nil {
		return nil, err
	}
	return installed[0], nil
}

// What the language has no word for is a function: it is asked about the same
// frames, and its verdicts compose with those of the other rules.
func ExampleInstall_ownRule() {
	w := newExampleWire()
	defer w.world.Close()
	late, err := w.install("late: delay 40ms nth 2 from client")
	if err != nil {
		fmt.Println(err)
		return
	}
	shout := w.sw.AddRule("no-shouting", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		if to != nil { // asked about a receiver's cable; this one is about the sender's
			return vswitch.Verdict{}
		}
		return vswitch.Verdict{Drop: f.Data[len(f.Data)-1] == '!'}
	}))
	err = w.world.Run(context.Background(), func(context.Context) error {
		return w.say("one", "two", "three!", "four", "five")
	})
	fmt.Println(err, late.Counts().Delayed, "late,", shout.Counts().Dropped, "dropped")
	// Output:
	// 0s       one
	// 30ms     four
	// 40ms     five
	// 50ms     two
	// <nil> 1 late, 1 dropped
}

// A rule for one phase of a test: installed while the world runs, and removed.
func ExampleInstalled() {
	w := newExampleWire()
	defer w.world.Close()
	err := w.world.Run(context.Background(), func(context.Context) error {
		if err := w.say("before"); err != nil {
			return err
		}
		hole, err := w.install("hole: drop from client")
		if err != nil {
			return err
		}
		if err := w.say("within", "still within"); err != nil {
			return err
		}
		hole.Remove()
		fmt.Println("rule", hole.Number(), "lost", hole.Counts().Dropped, "of", hole.Matched())
		return w.say("after")
	})
	fmt.Println(err)
	// Output:
	// 0s       before
	// rule 1 lost 2 of 2
	// 30ms     after
	// <nil>
}

// A switch to turn: "off" in the text is how it begins. While it is off a rule is
// not asked, so it counts on where it stopped: the second frame that it is asked
// about is "five".
func ExampleInstalled_setOn() {
	w := newExampleWire()
	defer w.world.Close()
	second, err := w.install("second: drop nth 2 from client off")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = w.world.Run(context.Background(), func(context.Context) error {
		for _, phase := range []struct {
			on    bool
			words []string
		}{
			{false, []string{"one", "two"}},
			{true, []string{"three"}},
			{false, []string{"four"}},
			{true, []string{"five", "six"}},
		} {
			second.SetOn(phase.on)
			if err := w.say(phase.words...); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 0s       one
	// 10ms     two
	// 20ms     three
	// 30ms     four
	// 50ms     six
	// <nil>
}

func ExampleExplain() {
	rules, err := faults.ParseAll([]string{
		"loss: drop 2% to server if \"tcp\"",
		"twice: duplicate every 3 gap 1ms from client during 1s..4s",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, each, _ := strings.Cut(faults.Explain(rules), "\nrule 1")
	fmt.Print("rule 1", each)
	// Output:
	// rule 1  loss: drop 2% to server if "tcp"
	//    frames     frames on the way to server, that match "tcp"
	//    when       always
	//    hits       each with probability 2%, independently
	//    and        loses them
	//    decided    on the receiver's cable, for each receiver by itself
	//    by chance  depends on the seed, its name, the path, the frame's flow and its
	//               place in it; not on other rules
	//
	// rule 2  twice: duplicate every 3 gap 1ms from client during 1s..4s
	//    frames     frames that client sends
	//    when       from 1s until 4s
	//    hits       the 3rd, the 6th and so on of each path
	//    and        each arrives once more, 1ms after it
	//    decided    on the sender's cable, once for all receivers
}

// A rule that names a table's file needs its values before it can be installed:
// they then stand in its text, so that a recording needs no file to be run again.
func ExampleRule_WithTables() {
	rule, err := faults.Parse(`lag: delay 40ms jitter 10ms table "measured.dist" from server`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rule.Tables())
	files := map[string]string{"measured.dist": "# three of four are early\n-4096 -4096 -4096\n12288\n"}
	rule, err = rule.WithTables(func(file string) ([]byte, error) { return []byte(files[file]), nil })
	fmt.Println(rule, err)
	fmt.Println(len(rule.Tables()), "files left to read")
	// Output:
	// [measured.dist]
	// lag: delay 40ms jitter 10ms table -4096,-4096,-4096,12288 from server <nil>
	// 0 files left to read
}
