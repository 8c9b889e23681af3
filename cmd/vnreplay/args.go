package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// permute brings the flags of a command line before its other arguments, which
// the cli library wants, so that people may write them in any order, and checks
// them. What follows "--" is left as it is. "help" in the place of a command, and
// --help anywhere, ask for the help of the command as far as it is named. Flags of a
// command that has subcommands may stand before the subcommand.
func permute(app *cli.App, args []string) ([]string, error) {
	out, rest := args[:1:1], args[1:]
	if len(rest) > 0 && (rest[0] == "--version" || rest[0] == "-v") {
		rest = append([]string{"version"}, rest[1:]...)
	}
	commands, known, help, takesArgs := app.Commands, []cli.Flag(nil), false, false
	var before []string
	for len(rest) > 0 && len(commands) > 0 {
		if n := leading(known, rest); n > 0 {
			before, rest = append(before, rest[:n]...), rest[n:]
			continue
		}
		if rest[0] == "help" && !help {
			help, rest = true, rest[1:]
			continue
		}
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == rest[0] })
		if i < 0 {
			break
		}
		out = append(out, rest[0])
		takesArgs = commands[i].ArgsUsage != "" // besides its subcommands
		commands, known, rest = commands[i].Subcommands, commands[i].Flags, rest[1:]
	}
	name := strings.Join(out[1:], " ")
	if len(commands) > 0 && !takesArgs && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		var names []string
		for _, c := range commands {
			names = append(names, c.Name)
		}
		return nil, usage("%q is no command of %s: there is %s", rest[0],
			strings.TrimSpace("vnreplay "+name), strings.Join(names, ", "))
	}
	flags, positional, asked, err := sortArgs(known, name, append(before, rest...))
	switch {
	case help || asked:
		return append(out, "--help"), nil
	case err != nil:
		return nil, err
	}
	out = append(out, flags...)
	if len(positional) > 0 {
		out = append(append(out, "--"), positional...)
	}
	return out, nil
}

// leading is how many of args are a flag with its value, 0 if they begin with none.
func leading(known []cli.Flag, args []string) int {
	dashed, _, inline := strings.Cut(args[0], "=")
	if !strings.HasPrefix(dashed, "-") {
		return 0
	}
	f := flagNamed(known, strings.TrimLeft(dashed, "-"))
	_, isBool := f.(*cli.BoolFlag)
	switch {
	case f == nil:
		return 0
	case isBool || inline:
		return 1
	}
	return min(2, len(args))
}

// sortArgs tells the flags of a command, with their values, from its other
// arguments; help reports that its help is asked for.
func sortArgs(known []cli.Flag, command string, args []string) (flags, positional []string, help bool, err error) {
	given := map[string]bool{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch arg {
		case "--":
			return flags, append(positional, args...), false, nil
		case "-h", "-help", "--help":
			return nil, nil, true, nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			positional = append(positional, arg)
			continue
		}
		name, value, inline := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		f := flagNamed(known, name)
		if f == nil {
			return nil, nil, false, usage("%s: see %s (an argument that begins with - goes behind --)",
				say(command, "no flag "+arg), helpOf(command))
		}
		flags = append(flags, arg)
		if _, isBool := f.(*cli.BoolFlag); isBool {
			if _, err := strconv.ParseBool(value); inline && err != nil {
				return nil, nil, false, usage("%s: leave %q out", say(command, "--"+name), "="+value)
			}
			continue
		}
		if !inline {
			if len(args) == 0 {
				return nil, nil, false, usage("%s: see %s", say(command, arg+" needs a value"), helpOf(command))
			}
			value, args = args[0], args[1:]
			flags = append(flags, value)
		}
		dashed := arg[:len(arg)-len(strings.TrimLeft(arg, "-"))] + name
		_, isList := f.(*cli.StringSliceFlag)
		if given[f.Names()[0]] && !isList {
			return nil, nil, false, usage("%s", say(command, dashed+" is given twice"))
		}
		given[f.Names()[0]] = true
		if want := unfit(f, value); want != "" {
			return nil, nil, false, usage("%s", say(command, fmt.Sprintf("%s %q: want %s", dashed, value, want)))
		}
	}
	return flags, positional, false, nil
}

func flagNamed(known []cli.Flag, name string) cli.Flag {
	for _, f := range known {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// unfit says what the value of a flag should be, if it is not that.
func unfit(f cli.Flag, value string) string {
	switch f.(type) {
	case *cli.Uint64Flag:
		if _, err := strconv.ParseUint(value, 10, 64); err != nil {
			return fmt.Sprintf("a whole number up to %d", uint64(math.MaxUint64))
		}
	case *cli.DurationFlag:
		if d, err := time.ParseDuration(value); err != nil || d <= 0 {
			return "a time above 0 with its unit, such as 5s or 2m"
		}
	case *cli.StringFlag, *cli.StringSliceFlag:
		if value == "" {
			return "something; it is empty"
		}
	}
	return ""
}

// say puts the name of a command before a text, where there is one.
func say(command, text string) string {
	if command == "" {
		return text
	}
	return command + ": " + text
}

// helpOf is the command line that shows the help of a command.
func helpOf(command string) string {
	return strings.Join(strings.Fields("vnreplay "+command+" --help"), " ")
}

// wantArgs checks how many arguments there are; most < 0 is no limit.
func wantArgs(c *cli.Context, least, most int, what string) error {
	name := strings.TrimPrefix(c.Command.HelpName, "vnreplay ")
	switch n := c.NArg(); {
	case n < least:
		return usage("%s: %s is missing: see %s", name, what, helpOf(name))
	case most >= 0 && n > most:
		return usage("%s: unexpected argument %q: see %s", name, c.Args().Get(most), helpOf(name))
	}
	return nil
}

// flagLine is a flag's line in a help text: its names and value, a tab, and what
// it is for. The value's name stands between backquotes in the usage.
func flagLine(f cli.Flag) string {
	usage := f.(cli.DocGenerationFlag).GetUsage()
	value := ""
	if parts := strings.SplitN(usage, "`", 3); len(parts) == 3 {
		value, usage = " "+parts[1], parts[0]+parts[1]+parts[2]
	}
	var names []string
	for _, name := range f.Names() {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		names = append(names, dashes+name)
	}
	return strings.Join(names, ", ") + value + "\t" + usage
}

func init() { cli.FlagStringer = flagLine }
