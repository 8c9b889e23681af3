package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/tap"
)

// choose reads the --live and --play flags into the options.
func (p *player) choose(a *replay.Analysis) error {
	for _, word := range p.played {
		addrs, err := a.Choose(strings.Trim(word, "[]"))
		if err != nil {
			return cannotChoose("--play", word, err)
		}
		for _, addr := range addrs {
			if !slices.Contains(p.options.Play, addr) {
				p.options.Play = append(p.options.Play, addr)
			}
		}
	}
	for _, text := range p.live {
		if who, spec, ok := behindPort(text); ok {
			if err := p.chooseOutside(a, text, who, spec); err != nil {
				return err
			}
			continue
		}
		who, app, hasApp := strings.Cut(text, "=")
		addrs, err := a.Choose(strings.Trim(who, "[]"))
		if err != nil {
			return cannotChoose("--live", text, err)
		}
		for _, addr := range addrs {
			one := addr.String()
			if hasApp {
				one += "=" + app
			}
			live, err := parseLiveFlag(one, a)
			if err != nil {
				return err
			}
			p.options.Live = append(p.options.Live, live)
		}
	}
	if len(p.live) > 0 {
		return nil
	}
	for _, addr := range a.Others(p.options.Play) {
		p.options.Live = append(p.options.Live, replay.Live{Addr: addr})
	}
	if len(p.options.Live) == 0 {
		return usage("--play %s: nobody talks to it in the capture", strings.Join(p.played, " --play "))
	}
	return nil
}

// behindPort splits WHO@PORT, and tells it from WHO=APP@PORT.
func behindPort(text string) (who, spec string, ok bool) {
	i := strings.IndexAny(text, "@=")
	if i < 0 || text[i] == '=' {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

// chooseOutside makes live what is behind a port to the outside.
func (p *player) chooseOutside(a *replay.Analysis, text, who, spec string) error {
	addrs, err := a.Choose(strings.Trim(who, "[]"))
	if err != nil {
		return cannotChoose("--live", text, err)
	}
	if err := tap.Check(spec); err != nil {
		return usage("--live %s: %v", text, err)
	}
	if p.outside == nil {
		p.outside = map[string]*replay.Outside{}
	}
	if p.outside[spec] == nil {
		p.outside[spec] = &replay.Outside{Name: spec}
	}
	for _, addr := range addrs {
		p.options.Live = append(p.options.Live, replay.Live{Addr: addr, Behind: p.outside[spec]})
	}
	return nil
}

// cannotChoose says why a word names nobody.
func cannotChoose(flag, word string, err error) error {
	if errors.Is(err, replay.ErrNotInThere) {
		return err
	}
	return usage("%s %q: want an address of the capture, such as 10.0.0.2, a MAC, %s or %s", flag, word, replay.AllServers, replay.AllClients)
}
