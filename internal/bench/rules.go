package bench

// IdleRules are rules of every model that has a probability, at 0: what they cost
// is what faults cost that do not happen.
var IdleRules = []string{
	"drop 0%",
	"drop gemodel 0% 100% 0% 0%",
	"duplicate 0%",
	"corrupt 0%",
	"truncate 0% to 60B",
	"pad 0% 4B",
	"delay 0% 1ms jitter 100us",
	"reorder 0% behind 3",
}
