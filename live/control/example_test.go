package control_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vnreplay/vnreplay/live/control"
)

// A rule is added to a running switch.
func Example() {
	dir, err := os.MkdirTemp("", "vnr")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	server, err := control.Listen(filepath.Join(dir, "lab.sock"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	server.Serve(&fake{}) // a *live.Switch, elsewhere

	client, err := control.Dial(server.Path())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	answer, err := client.Do(control.Request{Do: control.DoFaultAdd, Rule: "loss: drop 5% from web"})
	fmt.Println(answer.Rule.Number, answer.Rule.Text, err)
	// Output: 3 loss: drop 5% from web <nil>
}
