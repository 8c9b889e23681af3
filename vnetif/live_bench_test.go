package vnetif_test

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLiveTCP sends 100 MB over one connection between two hosts in real time.
// cpu-s/GB is processor time, of all threads, for 10^9 bytes. Peers are in bench/.
func BenchmarkLiveTCP(b *testing.B) {
	for _, mtu := range []int{1500, 9000, 65535} {
		b.Run(fmt.Sprintf("mtu=%d", mtu), func(b *testing.B) {
			const size = 100_000_000
			w, from, to := livePair(b, mtu, nil)
			b.SetBytes(size)
			err := w.Run(context.Background(), func(context.Context) error {
				l, err := to.Listen("tcp", ":5001")
				if err != nil {
					return err
				}
				received := make(chan int64)
				go func() {
					for range b.N {
						c, err := l.Accept()
						if err != nil {
							return
						}
						n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
						c.Close()
						received <- n
					}
				}()
				chunk := make([]byte, 128<<10)
				b.ResetTimer()
				began := cpuTime()
				for range b.N {
					c, err := from.Dial("tcp", "b:5001")
					if err != nil {
						return err
					}
					for left := size; left > 0; left -= min(left, len(chunk)) {
						if _, err := c.Write(chunk[:min(left, len(chunk))]); err != nil {
							return err
						}
					}
					c.Close()
					if n := <-received; n != size {
						return fmt.Errorf("%d bytes arrived", n)
					}
				}
				b.StopTimer()
				b.ReportMetric((cpuTime()-began).Seconds()/(float64(b.N)*size/1e9), "cpu-s/GB")
				b.ReportMetric(float64(b.N)*size*8/1e9/b.Elapsed().Seconds(), "Gbit/s")
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpuTime is the processor time that the process has used.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
