package pcap

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ViewAt writes to w, as pcapng, what tcpdump on the host at port name would have
// seen: what the host sent, when it sent it, and what reached it, when it did, on
// one interface, in order of time. At one instant, arrivals come first. What the
// host sent keeps its comments; what reached it has those that explain it: bytes
// changed, delays, copies. r is a wire recording at its start.
//
// The view describes the run as the recording does, but without rules and
// scenario where these take more than one comment (see [Meta.Marshal]): views are
// many, and tcpdump is to read them. About the order in recordings made in real time,
// see [Deliveries].
//
// Errors are those of [Deliveries], a [*WriteError], and, when the recording has
// no such port, one that names those it has. After a [*TruncatedError] the view
// is whole as far as the recording goes.
func ViewAt(w io.Writer, r *Reader, name string) error {
	v, err := newViews(r)
	if err != nil {
		return err
	}
	one, err := v.newView(w, "view", "at "+name, writeBuffer)
	if err != nil {
		return err
	}
	v.choose = func(ifc *Interface) (*view, error) {
		if ifc.Name == name {
			return one, nil
		}
		return nil, nil
	}
	err = v.run()
	if len(one.ifaces) == 0 && (err == nil || isCut(err)) {
		return fmt.Errorf("%s: no port is called %s; there are %s", r.Name(), escape(name), v.portNames())
	}
	return err
}

// ViewFull writes to w, as pcapng, every frame on every port in both directions:
// each once as it was sent and once for each copy that arrived, with the packet
// id of the frame, in order of time. At one instant, arrivals come first.
// Comments and errors are as for [ViewAt].
func ViewFull(w io.Writer, r *Reader) error {
	v, err := newViews(r)
	if err != nil {
		return err
	}
	one, err := v.newView(w, "view", "full", writeBuffer)
	if err != nil {
		return err
	}
	v.choose = func(*Interface) (*view, error) { return one, nil }
	return v.run()
}

// Split writes the view at every port into a file of its own in the directory
// dir, which it makes if there is none: NAME.pcapng for port NAME, or portN.pcapng
// where the name is unfit for a file. It returns their paths. Files appear when
// all are whole; errors are as for [ViewAt].
func Split(dir string, r *Reader) ([]string, error) {
	v, err := newViews(r)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var files []*File
	var paths []string
	byName := map[string]*view{}
	v.choose = func(ifc *Interface) (*view, error) {
		if one := byName[ifc.Name]; one != nil {
			return one, nil
		}
		if len(files) == maxSplit {
			return nil, fmt.Errorf("%s: more than %d ports, a file for each is too many; write the views of those that matter", r.Name(), maxSplit)
		}
		path := filepath.Join(dir, fileName(ifc)+".pcapng")
		f, err := CreateFile(path)
		if err != nil {
			return nil, err
		}
		files, paths = append(files, f), append(paths, path)
		// There may be many ports: 32 KiB each.
		byName[ifc.Name], err = v.newView(f, f.Written(), "at "+ifc.Name, 32<<10)
		return byName[ifc.Name], err
	}
	err = v.run()
	if err != nil && !isCut(err) {
		for _, f := range files {
			f.Abort()
		}
		return nil, err
	}
	for _, f := range files {
		if e := f.Close(); e != nil {
			return nil, e
		}
	}
	return paths, err
}

// maxSplit bounds the files that Split has open at once.
const maxSplit = 4096

// fileName is the name of a port if it is fit for a file, "portN" otherwise:
// names in a file from elsewhere may be anything.
func fileName(ifc *Interface) string {
	for i := range len(ifc.Name) {
		if c := ifc.Name[i]; !plainByte(c) || c == '/' || c == ':' {
			return "port" + strconv.Itoa(ifc.ID)
		}
	}
	if ifc.Name == "" || ifc.Name[0] == '.' || len(ifc.Name) > 200 {
		return "port" + strconv.Itoa(ifc.ID)
	}
	return ifc.Name
}

// views writes a timeline to one or more views.
type views struct {
	t      *timeline
	choose func(*Interface) (*view, error) // the view a port belongs to, or nil
	of     []*view                         // by interface
	all    []*view
}

// view is one file.
type view struct {
	b      *blockWriter
	ifaces map[int]int // from the recording's to this file's
}

func newViews(r *Reader) (*views, error) {
	t, err := newTimeline(r)
	if err != nil {
		return nil, err
	}
	if comments, err := t.meta.Marshal(); err != nil || len(comments) > 1 {
		t.meta.Rules, t.meta.Scenario = nil, ""
	}
	v := &views{t: t}
	t.sent = func(p *Packet, f *Fate) error {
		return v.write(p.Interface, p, Outbound, &Delivery{Time: p.Time, Frame: p, Data: p.Data}, p.Comments)
	}
	t.delivered = func(d *Delivery) error {
		return v.write(d.Interface, d.Frame, Inbound, d, d.of.explains(d.Port, d.Copy))
	}
	return v, nil
}

func (v *views) newView(w io.Writer, name, what string, buffer int) (*view, error) {
	meta := v.t.meta
	meta.View = what
	comments, err := meta.Marshal()
	if err != nil {
		return nil, err
	}
	one := &view{b: newBlockWriter(w, name, comments, buffer), ifaces: map[int]int{}}
	v.all = append(v.all, one)
	return one, nil
}

// addInterfaces gives all interfaces read so far to their views, so that they
// keep their order.
func (v *views) addInterfaces() error {
	for i := len(v.of); i < v.t.known; i++ {
		ifc := v.t.ports[i].Interface
		one, err := v.choose(ifc)
		if err != nil {
			return err
		}
		v.of = append(v.of, one)
		if one == nil {
			continue
		}
		if one.ifaces[i], err = one.b.addInterface(ifc.Name, ifc.Description, ifc.Comment); err != nil {
			return err
		}
	}
	return nil
}

func (v *views) write(iface int, p *Packet, dir Direction, d *Delivery, comments []string) error {
	if err := v.addInterfaces(); err != nil {
		return err
	}
	one := v.of[iface]
	if one == nil {
		return nil
	}
	// A frame snapped short when it was recorded stays so.
	orig := len(d.Data) + p.OrigLen - len(p.Data)
	return one.b.packet(one.ifaces[iface], d.Time, d.Data, orig, dir, p.ID, comments)
}

// run writes everything, then the statistics of the ports.
func (v *views) run() error {
	err := v.t.run()
	if err != nil && !isCut(err) {
		return err
	}
	if e := v.addInterfaces(); e != nil {
		return e
	}
	for i, one := range v.of {
		if st := v.t.ports[i].Stats; one != nil && st != nil {
			if e := one.b.statistics(one.ifaces[i], st); e != nil {
				return e
			}
		}
	}
	for _, one := range v.all {
		if e := one.b.finish(); e != nil {
			return e
		}
	}
	return err
}

func (v *views) portNames() string {
	var names []string
	for i := range v.t.known {
		if i == 20 {
			names = append(names, "…")
			break
		}
		names = append(names, escape(v.t.ports[i].Name))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
