package tap_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/tap"
)

// TestMain lets the test binary be a process of its own for tests that need one.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(openEnv) != "":
		openAll(strings.Fields(os.Getenv(openEnv)))
	case os.Getenv(stdioEnv) != "":
		if err := stdioEcho(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// openEnv makes the test binary open the specs in it and print what comes of it.
const openEnv = "VNREPLAY_TAP_TEST_OPEN"

func openAll(specs []string) {
	for _, spec := range specs {
		dev, err := tap.Open(spec)
		var denied *tap.PrivilegeError
		switch {
		case errors.As(err, &denied):
			fmt.Println("denied:", denied.Command)
		case err != nil:
			fmt.Println("error:", err)
		default:
			fmt.Println("open:", dev.Name())
			dev.Close()
		}
	}
}
