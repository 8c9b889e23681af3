package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// permute brings the flags of a command line before its other arguments, which
// the cli library wants, so that people may write them in any order. What
// follows "--" is left as it is. A flag that the command does not have is an error.
func permute(app *cli.App, args []string) ([]string, error) {
	out, rest := args[:1:1], args[1:]
	commands, known := app.Commands, []cli.Flag(nil)
	name := app.Name
	for len(rest) > 0 {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == rest[0] })
		if i < 0 {
			break
		}
		out, name = append(out, rest[0]), name+" "+rest[0]
		commands, known, rest = commands[i].Subcommands, commands[i].Flags, rest[1:]
	}
	if len(commands) > 0 && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		var names []string
		for _, c := range commands {
			names = append(names, c.Name)
		}
		return nil, usage("%q is no command of %s: there is %s", rest[0], name, strings.Join(names, ", "))
	}
	var flags, positional []string
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		switch {
		case arg == "--":
			positional = append(positional, rest...)
			rest = nil
		case len(arg) < 2 || arg[0] != '-':
			positional = append(positional, arg)
		default:
			takes, err := takesValue(known, name, arg)
			if err != nil {
				return nil, err
			}
			flags = append(flags, arg)
			if !takes {
				continue
			}
			if len(rest) == 0 {
				return nil, usage("%s needs a value: see %s --help", arg, name)
			}
			flags, rest = append(flags, rest[0]), rest[1:]
		}
	}
	out = append(out, flags...)
	if len(positional) > 0 {
		out = append(append(out, "--"), positional...)
	}
	return out, nil
}

// takesValue reports whether the argument after the flag arg is its value.
func takesValue(known []cli.Flag, command, arg string) (bool, error) {
	name, _, inline := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
	if name == "help" || name == "h" {
		return false, nil
	}
	for _, f := range known {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		_, isBool := f.(*cli.BoolFlag)
		return !isBool && !inline, nil
	}
	return false, usage("%s has no flag %s: see %s --help (an argument that begins with - goes behind --)", command, arg, command)
}

// wantArgs checks how many arguments there are; most < 0 is no limit.
func wantArgs(c *cli.Context, least, most int, what string) error {
	switch n := c.NArg(); {
	case n < least:
		return usage("%s: %s is missing: see %s --help", c.Command.HelpName, what, c.Command.HelpName)
	case most >= 0 && n > most:
		return usage("%s: unexpected argument %q: see %s --help", c.Command.HelpName, c.Args().Get(most), c.Command.HelpName)
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
