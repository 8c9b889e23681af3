//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package pcap

import (
	"errors"
	"fmt"
	"os"
)

// openPartial creates the regular file path for one writer. Without locks it
// cannot tell a run that writes from one that was killed.
func openPartial(path string) (f *os.File, release func(), err error) {
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		if err = notRegular(path, nil); err == nil {
			err = fmt.Errorf("%w %s, or was killed; in that case remove the file", ErrBeingWritten, path)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return f, func() {}, nil
}
