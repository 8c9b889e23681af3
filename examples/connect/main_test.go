package main

import (
	"strings"
	"testing"
)

// What the program says is the same every time.
func TestTalk(t *testing.T) {
	var said [2]strings.Builder
	for i := range said {
		if err := talk(&said[i]); err != nil {
			t.Fatal(err)
		}
	}
	const want = `      0s  server  is on the switch with address 02:00:00:00:00:00
      0s  client  is on the switch with address 02:00:00:00:00:01
 3.0002s  client  connected to 192.168.56.99:80
 3.0002s  client  wrote hello world
3.00025s  server  accepted a connection from 192.168.56.98:22059
3.00025s  server  got "hello world 1 2 3 4 5", and the end
`
	if got := said[0].String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if said[0].String() != said[1].String() {
		t.Errorf("the second time:\n%s", said[1].String())
	}
}
