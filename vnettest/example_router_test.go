package vnettest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/vnettest"
)

// testUpload is the whole of a test. Among the tests of a package it is called TestUpload.
func testUpload(t *testing.T) {
	n := vnettest.New(t, vnettest.Config{
		Seed:     7,
		Switches: []vnettest.Switch{{Name: "lan"}, {Name: "wan"}},
		Hosts: []vnettest.Host{
			{Name: "client", Switch: "lan", Addrs: []string{"10.0.0.1/24"}, Gateways: []string{"10.0.0.254"}},
			{Name: "server", Switch: "wan", Addrs: []string{"10.9.0.1/24"}, Gateways: []string{"10.9.0.254"}},
		},
		Routers: []vnettest.Router{{Name: "gw", Interfaces: []vnettest.Interface{
			{Name: "lan", Addrs: []string{"10.0.0.254/24"}},
			{Name: "wan", Addrs: []string{"10.9.0.254/24"}, Latency: 10 * time.Millisecond, Rate: 20 * vnettest.Mbit, Queue: 50},
		}}},
		Faults: []string{"loss: drop 2% from gw.wan"},
	})
	n.HTTPServer("server", ":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got, err := io.Copy(io.Discard, r.Body); err != nil || got != 200_000 {
			t.Errorf("the server got %d bytes: %v", got, err)
		}
	}))
	n.Run(func(context.Context) error {
		resp, err := n.HTTPClient("client").Post("http://server/", "text/plain", strings.NewReader(strings.Repeat("x", 200_000)))
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if n.Rule("loss").Counts().Dropped == 0 {
		t.Error("nothing was lost, so nothing was tested: take another seed")
	}
}

// An upload through a gateway with a slow way out, which loses frames. If it fails, the
// recordings of both sides of the gateway are kept: TestUpload.lan.pcapng and
// TestUpload.wan.pcapng.
func ExampleRouter() {
	var t *testing.T // that of the test
	testUpload(t)
}
