package filter_test

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"

	"github.com/vnreplay/vnreplay/filter"
)

// A TCP segment with the SYN flag, from 10.0.0.1 port 40000 to 10.0.0.2 port 80.
var segment = []byte{
	0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x00, // Ethernet
	0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
	0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0, 0, 0, 0, // TCP
}

func ExampleCompile() {
	for _, expr := range []string{
		"tcp dst port 80 or 443",
		"src host 10.0.0.2",
		"tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn",
		"net 10.0.0.0/8 and not udp",
	} {
		f, err := filter.Compile(expr)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(f.Match(segment), expr)
	}
	// Output:
	// true tcp dst port 80 or 443
	// false src host 10.0.0.2
	// true tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn
	// true net 10.0.0.0/8 and not udp
}

func ExampleSyntaxError() {
	_, err := filter.Compile("tcp prot 80")
	fmt.Println(err)
	var e *filter.SyntaxError
	if errors.As(err, &e) {
		fmt.Println(e.Column, e.Token)
	}
	// Output:
	// filter "tcp prot 80", column 5, "prot": host, net, port, proto or another qualifier was expected after "tcp"; did you mean "port"?
	// 5 prot
}

func ExampleSyntaxError_Error() {
	for _, expr := range []string{"host www.example.com", "tcp and", "ip and not ip"} {
		_, err := filter.Compile(expr)
		fmt.Println(err)
	}
	// Output:
	// filter "host www.example.com", column 6, "www.example.com": host names are not supported: nothing is looked up; write an address
	// filter "tcp and", column 8: the expression ends too early: an operand was expected
	// filter "ip and not ip", column 1: the expression matches no frame at all
}

func ExampleFilter_Match() {
	f, err := filter.Compile("tcp port 80")
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Match(segment))
	fmt.Println(f.Match(segment[:36])) // the destination port is cut off
	// Output:
	// true
	// false
}

func ExampleFilter_MatchLen() {
	f, err := filter.Compile("tcp and len > 1000")
	if err != nil {
		panic(err)
	}
	// Only the beginning of a frame of 1514 bytes was captured.
	fmt.Println(f.MatchLen(segment, 1514))
	fmt.Println(f.Match(segment))
	// Output:
	// true
	// false
}

func ExampleFilter_Instructions() {
	f, err := filter.Compile("ip proto 6")
	if err != nil {
		panic(err)
	}
	for _, ins := range f.Instructions() {
		fmt.Println(ins)
	}
	vm, err := bpf.NewVM(f.Instructions())
	if err != nil {
		panic(err)
	}
	keep, err := vm.Run(segment)
	fmt.Println(keep, err)
	// Output:
	// ldh [12]
	// jneq #2048,3
	// ldb [23]
	// jneq #6,1
	// ret #262144
	// ret #0
	// 262144 <nil>
}

func ExampleFilter_String() {
	f, err := filter.Compile("tcp  port http")
	if err != nil {
		panic(err)
	}
	fmt.Println(f)
	// Output: tcp  port http
}
