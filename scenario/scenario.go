package scenario

import (
	"net/netip"
	"time"
)

// Scenario is a scenario as plain values. The zero value of a field means its
// default. The yaml keys are the file's; see the package documentation.
type Scenario struct {
	Seed     Number        `yaml:"seed"`
	Start    Instant       `yaml:"start"`
	Limit    Duration      `yaml:"limit" least:"1ns"`
	Switch   string        `yaml:"switch" jsonschema:"enum=learning,enum=hub"` // "learning" (the default) or "hub"
	Switches Map[string]   `yaml:"switches"`                                   // in place of switch: names, and for each "learning" or "hub"
	Hosts    Map[Host]     `yaml:"hosts" jsonschema:"required"`
	Routers  Map[Router]   `yaml:"routers"`
	Links    Map[Link]     `yaml:"links"`  // by the names of ports: see [Scenario.PortNames]
	Faults   []string      `yaml:"faults"` // texts of package faults, in order
	Script   []Step        `yaml:"script"` // what changes in the course of the run
	Apps     Map[App]      `yaml:"apps"`
	Expect   *Expectations `yaml:"expect"`

	name string // of the file, for messages
}

// Name returns where the scenario was read from, or "".
func (s *Scenario) Name() string { return s.name }

// Host is one host on a switch.
type Host struct {
	Switch string `yaml:"switch"` // which one, where there are several
	// IP are its addresses with the length of their network's prefix; the first
	// one is what its name stands for.
	IP      List[Prefix] `yaml:"ip" jsonschema:"required"`
	Gateway List[Addr]   `yaml:"gateway"`
	MTU     Number       `yaml:"mtu" least:"68"` // bytes after the Ethernet header; default 1500
	MAC     string       `yaml:"mac"`            // default from the port's number
}

// Router is a host that forwards IP packets between its interfaces.
type Router struct {
	// Interfaces by their names, in order of creation. The port of interface wan of
	// router gw is called gw.wan.
	Interfaces Map[Interface] `yaml:"interfaces" jsonschema:"required"`
	Gateway    List[Addr]     `yaml:"gateway"` // next hops for what nothing else leads to
	Routes     Map[Addr]      `yaml:"routes"`  // networks such as 10.5.0.0/16, and their next hops
}

// Interface is one interface of a router.
type Interface struct {
	Switch string       `yaml:"switch"` // default the switch of the interface's name, or the only one
	IP     List[Prefix] `yaml:"ip" jsonschema:"required"`
	MTU    Number       `yaml:"mtu" least:"68"` // bytes after the Ethernet header; default 1500
	MAC    string       `yaml:"mac"`            // default from the port's number
}

// Link is the cable of a host or of a router's interface. Values are for one way, and the same in both.
type Link struct {
	Latency Duration `yaml:"latency" least:"1ns"` // default 25us
	Rate    Rate     `yaml:"rate"`                // default unlimited
	Queue   Queue    `yaml:"queue"`               // default 1000p
}

// App is an application: where and when it runs, and one kind of application.
type App struct {
	Host string   `yaml:"host" jsonschema:"required"`
	At   Duration `yaml:"at"` // on the virtual clock, from its start

	HTTPServer    *HTTPServer `yaml:"http-server"`
	HTTPGet       *HTTPGet    `yaml:"http-get"`
	EchoServer    *Port       `yaml:"echo-server"`
	Echo          *Echo       `yaml:"echo"`
	BulkServer    *Port       `yaml:"bulk-server"`
	Bulk          *Bulk       `yaml:"bulk"`
	UDPEchoServer *Port       `yaml:"udp-echo-server"`
	UDPEcho       *Echo       `yaml:"udp-echo"`
	Ping          *Ping       `yaml:"ping"`
}

// Port is the configuration of servers that need no more than their port.
type Port struct {
	Port Number `yaml:"port" jsonschema:"required"`
}

// HTTPServer serves files over HTTP/1.1 with net/http.
type HTTPServer struct {
	Port        Number    `yaml:"port" least:"1"` // default 80
	Files       Map[File] `yaml:"files"`
	ReadTimeout Duration  `yaml:"read-timeout" least:"1ns"` // for one request; default 10s
	IdleTimeout Duration  `yaml:"idle-timeout" least:"1ns"` // between requests; default 2m
}

// HTTPGet fetches a URL with net/http.
type HTTPGet struct {
	URL            string   `yaml:"url" jsonschema:"required"`
	Times          Number   `yaml:"times" least:"1"`     // requests in all; default 1
	Parallel       Number   `yaml:"parallel" least:"1"`  // clients that share them; default 1
	NewConnections bool     `yaml:"new-connections"`     // one for each request
	Timeout        Duration `yaml:"timeout" least:"1ns"` // for one request; default none
}

// Echo sends messages to an echo server, over TCP or UDP, one at a time.
type Echo struct {
	To       string   `yaml:"to" jsonschema:"required"` // host:port
	Times    Number   `yaml:"times" least:"1"`          // default 1
	Size     Size     `yaml:"size" least:"1B"`          // of a message; default 64B
	Interval Duration `yaml:"interval"`                 // between an answer and the next message
	Timeout  Duration `yaml:"timeout" least:"1ns"`      // for one answer; default 1s over UDP, none over TCP
}

// Bulk sends bytes over TCP to a bulk server; both ends compare a SHA-256.
type Bulk struct {
	To       string   `yaml:"to" jsonschema:"required"` // host:port
	Bytes    Size     `yaml:"bytes" jsonschema:"required"`
	Parallel Number   `yaml:"parallel" least:"1"`  // connections, each with all the bytes; default 1
	Timeout  Duration `yaml:"timeout" least:"1ns"` // for everything; default none
}

// Ping sends ICMP or ICMPv6 echo requests.
type Ping struct {
	To       string   `yaml:"to" jsonschema:"required"` // host name or address
	Times    Number   `yaml:"times" least:"1"`          // default 1
	Size     Size     `yaml:"size" least:"1B"`          // of the payload; default 56B
	Interval Duration `yaml:"interval" least:"1ns"`     // between requests; default 1s
	Timeout  Duration `yaml:"timeout" least:"1ns"`      // for one answer; default 1s
}

// Expectations are what a run is checked against. In the file, those of an
// application stand under its name.
type Expectations struct {
	Apps   Map[AppExpectation]
	Faults Map[CountRange] // frames affected, by a rule's name, or its number
	TCP    *TCPExpectation
	Run    *RunExpectation
}

// Keys of expect that are not names of applications.
const (
	keyFaults = "faults"
	keyTCP    = "tcp"
	keyRun    = "run"
)

// AppExpectation is what is expected of one application.
type AppExpectation struct {
	OK     *CountRange    `yaml:"ok"`     // operations: requests, transfers, messages answered
	Failed *CountRange    `yaml:"failed"` // operations that failed
	Lost   *CountRange    `yaml:"lost"`   // messages without an answer (udp-echo, ping)
	Bytes  *SizeRange     `yaml:"bytes"`  // application bytes received
	SHA256 string         `yaml:"sha256"` // of what http-get fetched: "served", or 64 hex digits
	Within *Duration      `yaml:"within"` // from the application's start to its end
	Took   *DurationRange `yaml:"took"`   // the same, as a range
	Error  string         `yaml:"error"`  // a part of the error it ends with
}

// TCPExpectation is about all hosts' TCP together.
type TCPExpectation struct {
	Retransmits *CountRange `yaml:"retransmits"` // segments sent again
	Resets      *CountRange `yaml:"resets"`      // RST segments sent
}

// RunExpectation is about the run as a whole.
type RunExpectation struct {
	Frames    *CountRange    `yaml:"frames"`
	Bytes     *SizeRange     `yaml:"bytes"` // of frames, with Ethernet headers
	Virtual   *DurationRange `yaml:"virtual"`
	Unordered *CountRange    `yaml:"unordered"` // calls whose order only the Go scheduler decided
}

// Ceilings. Each has an error of its own.
const (
	MaxText      = 48 << 10              // bytes of a scenario's text
	MaxEffective = 62 << 10              // bytes of its normal form, with inlined files, without fault rules
	MaxHosts     = 256                   // hosts
	MaxSwitches  = 100                   // switches
	MaxRouters   = 256                   // interfaces of all routers
	MaxRoutes    = 256                   // of a router
	MaxAddrs     = 16                    // addresses, and gateways, of a host
	MaxApps      = 256                   // applications
	MaxFaults    = 10_000                // fault rules
	MaxRuleBytes = 800_000               // bytes of all fault rules together
	MaxSteps     = 1000                  // of a script
	MaxFiles     = 100                   // files of all http servers together
	MaxFileBytes = 256 << 20             // bytes of these files together
	MaxInlined   = 32 << 10              // bytes of one file beside the scenario
	MaxTable     = 512 << 10             // bytes of the file of a fault rule's table
	MaxTransfer  = 1 << 30               // bytes of one bulk transfer over all its connections
	MaxTimes     = 1_000_000             // requests, messages
	MaxParallel  = 128                   // clients or connections of one application
	MaxClients   = 256                   // clients and connections of all applications together
	MaxMessage   = 60000                 // bytes of one echo message or ping
	MaxLimit     = 30 * 24 * time.Hour   // of virtual time
	MaxLatency   = time.Hour             // of a cable
	MaxRate      = 1_000_000_000_000_000 // bit/s of a cable
	MaxQueue     = 1_000_000             // frames before a cable
)

// Defaults that the other packages do not have.
const (
	learning = "learning"
	hub      = "hub"
)

// Prefix is an address with the length of its network's prefix: 10.0.0.1/24.
type Prefix struct{ netip.Prefix }

// Addr is an IP address.
type Addr struct{ netip.Addr }
