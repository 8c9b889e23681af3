//go:build !linux

package tap

import (
	"errors"
	"fmt"
	"runtime"
)

func openTAP(spec, _ string, _ int, _ bool) (Device, error) {
	return nil, linuxOnly(spec, "TAP devices")
}

func openTAPFile(spec string, _, _ int) (Device, error) { return nil, linuxOnly(spec, "TAP devices") }

func openPacket(spec, _ string) (Device, error) { return nil, linuxOnly(spec, "packet sockets") }

func linuxOnly(spec, what string) error {
	return fmt.Errorf("%s: %s are Linux's, and this is %s; qemu, qemu-dgram, unixgram, stdio and vxlan work here: %w",
		spec, what, runtime.GOOS, errors.ErrUnsupported)
}
