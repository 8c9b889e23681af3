package tap

import (
	"fmt"
	"os"
)

// openStdio makes a device of standard input and output.
func openStdio(spec string, mtu int) (Device, error) {
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", spec, err)
		}
		if info.Mode()&os.ModeCharDevice != 0 {
			return nil, fmt.Errorf("%s: %s is a terminal or a device: connect it to a program that speaks QEMU's framing, such as socat", spec, f.Name())
		}
	}
	in, out, err := takeStdio()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return NewPipe("stdio", in, out, mtu), nil
}
