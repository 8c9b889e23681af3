package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// bulkChunk is how many bytes are written and read at once.
const bulkChunk = 64 << 10

// Bulk measures one TCP connection in one direction: it dials, accepts from l and
// has size bytes sent, of which it reads every one. The time is from the first
// write to the last read. It closes the connection, not l, and ends soon after ctx
// is done.
func Bulk(ctx context.Context, l net.Listener, dial func(context.Context) (net.Conn, error), size int64) (Result, error) {
	type accepted struct {
		conn net.Conn
		err  error
	}
	came := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		came <- accepted{c, err}
	}()
	out, err := dial(ctx)
	if err != nil {
		l.Close()
		if a := <-came; a.conn != nil {
			a.conn.Close()
		}
		return Result{}, fmt.Errorf("dialing: %w", err)
	}
	defer out.Close()
	a := <-came
	if a.err != nil {
		return Result{}, fmt.Errorf("accepting: %w", a.err)
	}
	defer a.conn.Close()
	stop := context.AfterFunc(ctx, func() {
		out.SetDeadline(time.Unix(1, 0))
		a.conn.SetDeadline(time.Unix(1, 0))
	})
	defer stop()

	watch := Start()
	sent := make(chan error, 1)
	go func() { sent <- send(out, size) }()
	n, rerr := receive(a.conn, size)
	r := Result{Bytes: uint64(n)}
	r.Elapsed, r.CPU = watch.Stop()
	if rerr != nil {
		out.SetDeadline(time.Unix(1, 0)) // nobody reads any more
	}
	if err := errors.Join(rerr, <-sent); err != nil {
		return r, errors.Join(context.Cause(ctx), err)
	}
	return r, nil
}

func send(c net.Conn, size int64) error {
	for chunk := make([]byte, bulkChunk); size > 0; {
		n, err := c.Write(chunk[:min(size, bulkChunk)])
		if err != nil {
			return fmt.Errorf("sending, with %d bytes to go: %w", size, err)
		}
		size -= int64(n)
	}
	return nil
}

func receive(c net.Conn, size int64) (got int64, err error) {
	for chunk := make([]byte, bulkChunk); got < size; {
		n, err := c.Read(chunk)
		got += int64(n)
		if err == io.EOF && got < size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && got < size {
			return got, fmt.Errorf("receiving, after %d of %d bytes: %w", got, size, err)
		}
	}
	return got, nil
}
