package faults_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/switch"
)

func ExampleParse() {
	r, err := faults.Parse("loss: drop 1/50 to server from client")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r)
	fmt.Println("name:", r.Name())
	// Output:
	// loss: drop 2% from client to server
	// name: loss
}

func ExampleSyntaxError() {
	_, err := faults.Parse("duplicate 1% copise 2 from client")
	var syntax *faults.SyntaxError
	if errors.As(err, &syntax) {
		fmt.Print(syntax.Excerpt())
		fmt.Println("column", syntax.Column)
	}
	// Output:
	// duplicate 1% copise 2 from client
	//              ^~~~~~
	// column 14
}

func ExampleParseAll() {
	_, err := faults.ParseAll([]string{"loss: drop 2%", "drop nth 3 form client"})
	fmt.Println(err)
	// Output:
	// rule 2: fault rule, column 12, "form": not known here; did you mean "from"?
}

// Of two switches, a rule is on the one that has its ports, on the one it names, or on both.
func ExampleInstallAll() {
	world := vswitch.NewWorld(vswitch.Config{Seed: 7})
	defer world.Close()
	var switches []*vswitch.Switch
	for _, s := range []faults.Switch{{Name: "lan", Ports: []string{"client", "gw.lan"}}, {Name: "wan", Ports: []string{"gw.wan", "server"}}} {
		sw, _ := world.NewSwitch(vswitch.SwitchConfig{Name: s.Name})
		for _, port := range s.Ports {
			sw.Connect(vswitch.PortConfig{Name: port}, vswitch.EndpointFunc(func([]byte) {}))
		}
		switches = append(switches, sw)
	}
	rules, _ := faults.ParseAll([]string{"drop 2% from client", "delay 1ms on wan", "duplicate 1%"})
	installed, err := faults.InstallAll(switches, rules)
	for i, rule := range installed {
		fmt.Println(i+1, rule.Rule(), "matched", rule.Matched())
	}
	fmt.Println(err)
	rules, _ = faults.ParseAll([]string{"drop 2% from client to server"})
	_, err = faults.InstallAll(switches, rules)
	fmt.Println(err)
	// Output:
	// 1 drop 2% from client matched 0
	// 2 delay 1ms on wan matched 0
	// 3 duplicate 1% matched 0
	// <nil>
	// fault rule "drop 2% from client to server": its ports are on different switches (client on lan, server on wan), and a rule is about the cables of one: name the router's port instead of the host beyond it
}

// Two rules on a switch, and what they did to five frames.
func ExampleInstall() {
	world := vswitch.NewWorld(vswitch.Config{Seed: 7})
	defer world.Close()
	sw, _ := world.NewSwitch(vswitch.SwitchConfig{Name: "lan"})
	client, _ := sw.Connect(vswitch.PortConfig{Name: "client"}, vswitch.EndpointFunc(func([]byte) {}))
	server, _ := sw.Connect(vswitch.PortConfig{Name: "server"}, vswitch.EndpointFunc(func(data []byte) {
		fmt.Printf("server got %s\n", data[14:])
	}))

	rules, err := faults.ParseAll([]string{"drop nth 2,4 from client", "typo: corrupt nth 5 @14:66>46 to server"})
	if err != nil {
		fmt.Println(err)
		return
	}
	installed, err := faults.Install(sw, rules)
	if err != nil {
		fmt.Println(err)
		return
	}
	dst, src := server.MAC(), client.MAC()
	header := append(append(dst[:], src[:]...), 0x90, 0x00)
	err = world.Run(context.Background(), func(context.Context) error {
		for _, word := range []string{"one", "two", "three", "four", "five"} {
			if err := client.Send(append(header[:14:14], word...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	for _, in := range installed {
		fmt.Printf("%s: matched %d, affected %d\n", in.Rule(), in.Matched(), in.Counts().Frames)
	}
	// Output:
	// server got one
	// server got three
	// server got Five
	// drop nth 2,4 from client: matched 5, affected 2
	// typo: corrupt nth 5 @14:66>46 to server: matched 5, affected 1
}

// What a run's rules did, as rules that need no seed.
func ExampleExtract() {
	rules, err := faults.Extract([]faults.Decision{
		{Rule: 1, From: "client", Place: 3, Kind: faults.Dropped},
		{Rule: 1, From: "client", Place: 17, Kind: faults.Dropped},
		{Rule: 1, From: "client", Place: 18, Kind: faults.Dropped},
		{Rule: 2, From: "client", To: "server", Place: 4, Kind: faults.Corrupted,
			Edits: []vswitch.Edit{{Offset: 66, Old: []byte{0x4f}, New: []byte{0x4e}}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range rules {
		fmt.Println(r)
	}
	// Output:
	// drop nth 3,17..18 from client
	// corrupt nth 4 @66:4f>4e from client to server
}

// While a recording is read, an Extractor finds the places of the frames.
func ExampleExtractor() {
	var x faults.Extractor
	everyone := []string{"server", "spy"}
	x.Frame("client", everyone)
	x.Frame("client", everyone)
	x.Did(faults.Decision{Rule: 1, To: "spy", Kind: faults.Dropped})
	x.Frame("server", []string{"client"})
	x.Frame("client", []string{"server"})
	x.Frame("client", []string{"spy"})
	x.Did(faults.Decision{Rule: 1, To: "spy", Kind: faults.Dropped})
	rules, err := x.Rules()
	fmt.Println(rules, err)
	// Output:
	// [drop nth 2..3 from client to spy] <nil>
}

// A rule without a switch: whoever has a frame can ask it.
func ExampleRule_Compile() {
	r, err := faults.Parse("drop every 2 from client")
	if err != nil {
		fmt.Println(err)
		return
	}
	world := vswitch.NewWorld(vswitch.Config{})
	defer world.Close()
	sw, _ := world.NewSwitch(vswitch.SwitchConfig{})
	client, _ := sw.Connect(vswitch.PortConfig{Name: "client"}, vswitch.EndpointFunc(func([]byte) {}))

	rule := r.Compile(faults.Keys{Seed: 7, Occurrence: 1})
	frame := &vswitch.Frame{Data: make([]byte, 60), From: client}
	for range 4 {
		var v vswitch.Verdict
		rule.Judge(frame, nil, &v)
		fmt.Println(v.Drop)
	}
	// Output:
	// false
	// true
	// false
	// true
}
