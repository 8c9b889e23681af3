module github.com/vnreplay/vnreplay/bench

go 1.26.3

replace github.com/vnreplay/vnreplay => ../

require (
	github.com/containers/gvisor-tap-vsock v0.8.9
	github.com/gopacket/gopacket v1.7.7
	github.com/pion/logging v0.2.4
	github.com/pion/transport/v4 v4.1.3
	github.com/sirupsen/logrus v1.9.4
	github.com/vnreplay/vnreplay v0.0.0
	golang.org/x/sys v0.49.0
	gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237
)

require (
	github.com/apparentlymart/go-cidr v1.1.1 // indirect
	github.com/google/btree v1.1.2 // indirect
	github.com/google/gopacket v1.1.19 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
	golang.org/x/exp v0.0.0-20250711185948-6ae5c78190dc // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)
