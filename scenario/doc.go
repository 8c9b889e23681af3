// Package scenario is the scenario file: what hosts there are, how they are
// cabled, what breaks, which applications run and what is expected of them; and
// what is done with one: check it, print it, run it, and verify a recording of it.
//
// # A map of the package
//
//   - [Load] and [Parse] read a scenario from strict YAML. Every error is an
//     [*Error], which knows file, line, column and the excerpt.
//   - [Scenario] is the scenario as plain values; a Go program may fill one in
//     itself and [Scenario.Check] it.
//   - [Scenario.Effective] prints it in one normal form, complete in itself: what
//     a recording carries (without its fault rules where they are long, for they
//     are there anyway), and what [ParseEmbedded] reads back.
//   - [Run] builds the world, runs it, and gives a [Result].
//   - [Verify] runs the scenario that a recording carries once more, and compares.
//
// # The file
//
//	seed: 7                          # of everything random; default 0
//	start: 2026-01-01T00:00:00Z      # of the virtual clock; this is the default
//	limit: 30s                       # of virtual time; default 1h
//	switch: hub                      # default: learning; for several see below
//	hosts:                           # in order of creation
//	  client: {ip: [10.0.0.1/24, "fd00::1/64"]}
//	  server: {ip: [10.0.0.2/24, "fd00::2/64"], mtu: 1400}
//	links:                           # a host's cable, one-way values
//	  client: {latency: 20ms}
//	  server: {latency: 5ms, rate: 10mbit, queue: 64p}
//	faults:                          # see package faults
//	  - "loss: drop 2% from server"
//	apps:                            # name, host, when, and one kind
//	  web: {host: server, http-server: {port: 80, files: {/big: random 1MB}}}
//	  get: {host: client, at: 100ms, http-get: {url: "http://server/big", times: 3}}
//	expect:
//	  get: {ok: 3, sha256: served, within: 10s}
//	  faults: {loss: ">=1"}
//	  tcp: {retransmits: 1..200, resets: 0}
//	  run: {frames: 100..9000, virtual: <10s}
//
// # Several switches, and routers between them
//
//	switches: {lan: learning, wan: hub}   # in place of switch:
//	hosts:
//	  client: {switch: lan, ip: 10.0.0.1/24, gateway: 10.0.0.254}
//	  server: {switch: wan, ip: 10.9.0.1/24, gateway: 10.9.0.254, mtu: 1400}
//	routers:
//	  gw:
//	    interfaces:                       # each on the switch of its name, or on switch:
//	      lan: {ip: 10.0.0.254/24}        # its port is called gw.lan
//	      wan: {ip: 10.9.0.254/24, mtu: 1400}
//	    routes: {10.50.0.0/16: 10.9.0.77} # networks beyond, and gateway: for all others
//	links:
//	  gw.wan: {rate: 10mbit, queue: 64p}
//	faults:
//	  - drop 2% from gw.wan               # on the switch that has the port
//	  - delay 5ms on wan                  # on one switch; without "on", on each
//
// Routers forward as package vnetif describes (vnetif.NewRouter); they are hosts, too,
// and may have applications. Each switch has a recording of its own, and all
// recordings one clock and one set of packet ids.
//
// An application that returns an error fails the run unless its expectation
// names the error. Numbers that have a unit need it: 20ms, 10mbit, 64p, 1MB.
//
// Fault rules see frames of any kind, also ARP and neighbour discovery: the first
// frame of a host that "drop first 1" loses is often one of these, not a SYN.
//
// A file to be served is "random SIZE" (bytes drawn from the seed and the file's
// path), {text: "..."}, {base64: "..."}, or {file: NAME}, a file in the
// scenario's own directory, which [Load] reads and which becomes a text or base64.
//
// # Limits
//
// A scenario may come from a stranger, so everything in it has a ceiling, with
// an error of its own; they are the constants of this package. Aliases, anchors
// and tags of YAML are not accepted.
package scenario
