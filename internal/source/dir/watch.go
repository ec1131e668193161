package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// Watch calls dirty whenever a later Load may differ from an earlier one, and
// once at the start, when the watches are in place. It calls from one goroutine
// and does not hold off; see Holdoff. It returns nil when ctx ends, and an
// error if watching is not possible.
//
// Directories are watched, never files: a file that is replaced by renaming
// would take its watch with it. Watched are the directories that Load lists,
// and those in which a symbolic link on the way stands, as ..data does in a
// mounted ConfigMap.
func (l *Loader) Watch(ctx context.Context, dirty func()) error {
	const buffer = 4096 // so that one rescan answers for all events of a burst
	notify, err := fsnotify.NewBufferedWatcher(buffer)
	if err != nil {
		return fmt.Errorf("watching files: %w", err)
	}
	defer notify.Close()
	w := &watch{config: &l.config, notify: notify, again: l.again, dirs: map[string]fs.FileInfo{}}
	if err := w.rescan(); err != nil {
		return err
	}
	dirty()
	for {
		matters, err := w.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case matters:
			dirty()
		}
	}
}

// watch is the live side of Watch.
type watch struct {
	config *Config
	notify *fsnotify.Watcher
	again  <-chan struct{}
	// dirs are the directories with a watch, as they were when it was set.
	dirs map[string]fs.FileInfo
	// listed are those of which every change matters; names are, for the
	// others, the entries whose change does.
	listed map[string]bool
	names  map[string]map[string]bool
}

// next waits for an event and takes all that are there with it.
func (w *watch) next(ctx context.Context) (matters bool, err error) {
	structure := false
	take := func(event fsnotify.Event) {
		if w.matters(event) {
			matters = true
			structure = structure || event.Op != fsnotify.Write
		}
	}
	select {
	case <-ctx.Done():
		return false, nil
	case event, open := <-w.notify.Events:
		if !open {
			return false, errors.New("watching files: the watcher is closed")
		}
		take(event)
	case <-w.again:
		matters = true
	case <-w.notify.Errors:
		// Events were lost: anything may have happened.
		matters, structure = true, true
	}
	for range len(w.notify.Events) {
		take(<-w.notify.Events)
	}
	if structure {
		err = w.rescan()
	}
	return matters, err
}

// matters reports whether an event may change what Load reads. An event of a
// watched directory itself always may.
func (w *watch) matters(event fsnotify.Event) bool {
	if event.Name == "" {
		return false
	}
	dir, name := filepath.Split(event.Name)
	dir = filepath.Clean(dir)
	if _, itself := w.dirs[event.Name]; itself || w.names[dir][name] {
		return true
	}
	return w.listed[dir] && !strings.HasPrefix(name, ".")
}

// rescan moves the watches to where they are needed now. What happens to a
// directory before its watch is set is not missed: the caller reports dirty
// after it, and what is set is then scanned once more, until nothing is new.
func (w *watch) rescan() error {
	const mostRounds = 10 // someone who makes directories without end is seen again by their events
	for range mostRounds {
		list := scan(w.config)
		w.names = list.names
		w.listed = map[string]bool{}
		wanted := map[string]fs.FileInfo{}
		for _, dir := range list.dirs {
			w.listed[dir] = true
			wanted[dir] = nil
		}
		for dir := range list.names {
			wanted[dir] = nil
		}
		if changed, err := w.move(wanted); err != nil || !changed {
			return err
		}
	}
	return nil
}

// move drops the watches that are not wanted, or that are on a directory which
// has left its path, and then sets those that are missing. The order matters:
// the kernel knows one watch a directory, whatever its path.
func (w *watch) move(wanted map[string]fs.FileInfo) (changed bool, err error) {
	for dir := range wanted {
		info, err := os.Stat(dir)
		if err != nil {
			delete(wanted, dir) // gone again: the directory above tells
			continue
		}
		wanted[dir] = info
	}
	live := map[string]bool{}
	for _, dir := range w.notify.WatchList() {
		live[dir] = true
	}
	maps.DeleteFunc(w.dirs, func(dir string, was fs.FileInfo) bool {
		now, keep := wanted[dir]
		if keep && live[dir] && os.SameFile(was, now) {
			return false
		}
		_ = w.notify.Remove(dir) // it may be gone with its directory
		return true
	})
	for dir, info := range wanted {
		if _, there := w.dirs[dir]; there {
			continue
		}
		switch err := w.notify.Add(dir); {
		case err == nil:
			w.dirs[dir], changed = info, true
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			// The directory above tells when that changes.
		default:
			return changed, addError(dir, err)
		}
	}
	return changed, nil
}

func addError(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("watching %s: no watch is left; raise fs.inotify.max_user_watches: %w", dir, err)
	}
	return fmt.Errorf("watching %s: %w", dir, err)
}
