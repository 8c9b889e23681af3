package tap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
)

// Two devices that are each other's peer: a virtual machine's part is played by the
// second one.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "vnr")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	local, remote := filepath.Join(dir, "switch"), filepath.Join(dir, "vm")
	dev, err := tap.Open("qemu-dgram:local=unix:" + local + ",remote=unix:" + remote)
	if err != nil {
		log.Fatal(err)
	}
	defer dev.Close()
	vm, err := tap.Open("qemu-dgram:local=unix:" + remote + ",remote=unix:" + local)
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	frame := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5hello")
	if _, err := vm.Write([][]byte{frame}); err != nil {
		log.Fatal(err)
	}
	bufs, sizes := [][]byte{make([]byte, tap.MaxFrame)}, make([]int, 1)
	n, err := dev.Read(bufs, sizes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d frame of %d bytes: %s\n", n, sizes[0], bufs[0][tap.MinFrame:sizes[0]])
	// Output: 1 frame of 19 bytes: hello
}

func ExampleCheck() {
	err := tap.Check("qemu:unix:/run/q.sock,conect")
	fmt.Println(err)
	var at *tap.SpecError
	if errors.As(err, &at) {
		fmt.Println("column", at.Column)
	}
	// Output:
	// port "qemu:unix:/run/q.sock,conect", column 23, "conect": no such option; there is connect, mtu=...
	// column 23
}

// What a device could not pass on, it counts.
func ExampleCounters() {
	r, w := io.Pipe()
	dev := tap.NewPipe("demo", r, w, 1500)
	defer dev.Close()
	runt := make([]byte, 13)
	n, err := dev.Write([][]byte{runt})
	fmt.Println(n, err, dev.(tap.Counting).Counters().TxInvalid)
	// Output: 1 <nil> 1
}

// A switch in real time between two byte streams, such as connections to two machines.
func ExampleConnect() {
	world := vswitch.NewWorld(vswitch.Config{RealTime: true})
	defer world.Close()
	sw, err := world.NewSwitch(vswitch.SwitchConfig{})
	if err != nil {
		log.Fatal(err)
	}
	var machines [2]tap.Device
	for i := range machines {
		r1, w1 := io.Pipe()
		r2, w2 := io.Pipe()
		link, err := tap.Connect(sw, vswitch.PortConfig{}, tap.NewPipe(fmt.Sprintf("vm%d", i), r1, w2, 1500))
		if err != nil {
			log.Fatal(err)
		}
		defer link.Close()
		machines[i] = tap.NewPipe("its other end", r2, w1, 1500)
		defer machines[i].Close()
	}
	err = world.Run(context.Background(), func(context.Context) error {
		frame := []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x02\x88\xb5anybody there?")
		if _, err := machines[0].Write([][]byte{frame}); err != nil {
			return err
		}
		bufs, sizes := [][]byte{make([]byte, tap.MaxFrame)}, make([]int, 1)
		if _, err := machines[1].Read(bufs, sizes); err != nil {
			return err
		}
		fmt.Printf("%s\n", bufs[0][tap.MinFrame:sizes[0]])
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: anybody there?
}
