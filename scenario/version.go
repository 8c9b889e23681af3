package scenario

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// BuildVersions are the versions on which a recording's bytes depend.
type BuildVersions struct {
	VNReplay string // of this module
	Stack    string // of gVisor
	Go       string
}

const (
	modulePath = "github.com/vnreplay/vnreplay"
	stackPath  = "gvisor.dev/gvisor"
)

// Versions returns the versions this program was built from; "unknown" where the
// build does not tell.
var Versions = sync.OnceValue(func() BuildVersions {
	v := BuildVersions{VNReplay: "unknown", Stack: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		version := m.Version
		if m.Replace != nil {
			version = m.Replace.Version
		}
		switch {
		case version == "":
		case m.Path == modulePath:
			v.VNReplay = version
		case m.Path == stackPath:
			v.Stack = version
		}
	}
	return v
})
