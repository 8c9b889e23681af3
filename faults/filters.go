package faults

import (
	"sync"

	"github.com/vnreplay/vnreplay/filter"
)

// filters are the expressions compiled last. A scenario's rules are read again
// at each step on its way (its check, its normal form, its run), and an
// expression of hundreds of terms takes a second to compile.
var filters = filterCache{compiled: map[string]*filter.Filter{}}

// maxFilterTexts is how many bytes of expressions are kept: those of all rules of
// a scenario.
const maxFilterTexts = 1 << 20

// filterCache may be used from several goroutines at once.
type filterCache struct {
	mu       sync.Mutex
	compiled map[string]*filter.Filter
	size     int // of their texts
}

// compile is [filter.Compile].
func (c *filterCache) compile(expr string) (*filter.Filter, error) {
	c.mu.Lock()
	f := c.compiled[expr]
	c.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := filter.Compile(expr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size += len(expr); c.size > maxFilterTexts {
		clear(c.compiled)
		c.size = len(expr)
	}
	c.compiled[expr] = f
	return f, nil
}
