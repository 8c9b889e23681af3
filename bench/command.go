package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
)

// ownCommand is the command vnreplay, built from the module above this one when it
// is first asked for, unless one was given.
type ownCommand struct {
	given, dir string

	once sync.Once
	err  error
}

func (o *ownCommand) path(ctx context.Context) (string, error) {
	if o.given != "" {
		return o.given, nil
	}
	built := filepath.Join(o.dir, "vnreplay")
	o.once.Do(func() {
		if o.err = needTools("go"); o.err == nil {
			o.err = command(ctx, "go", "-C", "..", "build", "-o", built, "./cmd/vnreplay")
		}
		if o.err != nil {
			o.err = fmt.Errorf("building vnreplay (run this in its directory, bench/, or give -vnreplay): %w", o.err)
		}
	})
	return built, o.err
}
