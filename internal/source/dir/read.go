package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fileText is a file as it was last read.
type fileText struct {
	content string
	chunks  []chunk // parts of content
	stamp   stamp
	// settled says that an equal stamp means equal content.
	settled bool
	// whole is what stood there before, if content is a beginning of it; it
	// counts until the time that is given. See held.
	whole *fileText
	until time.Time
}

var (
	errTooLarge   = errors.New("the file is too large")
	errNotRegular = errors.New("it is no regular file")
)

// readFiles reads files in parallel. An element is nil if its file could not be
// read; the error has the same place.
func (l *Loader) readFiles(files []foundFile) ([]*fileText, []error) {
	texts, errs := make([]*fileText, len(files)), make([]error, len(files))
	parallel(len(files), func(i int) {
		texts[i], errs[i] = l.readFile(files[i])
	})
	l.files = make(map[string]*fileText, len(files))
	for i, text := range texts {
		if text != nil {
			l.files[files[i].real] = text
		}
	}
	return texts, errs
}

// readFile returns what was read before if the stamp proves that it still
// stands, and otherwise reads.
func (l *Loader) readFile(file foundFile) (*fileText, error) {
	before := l.files[file.real]
	if before != nil && before.settled {
		info, err := os.Lstat(file.real)
		if err != nil {
			return nil, err
		}
		if now, _ := stampOf(info, time.Now(), 0); now == before.stamp {
			return before, nil
		}
	}
	// Not blocking, lest a pipe that took the file's place hold us up.
	f, err := os.OpenFile(file.real, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := l.readOpen(f)
	if err == nil && before != nil {
		text.follow(before, time.Now(), l.config.Torn)
	}
	return text, err
}

func (l *Loader) readOpen(f *os.File) (*fileText, error) {
	// The stamp is taken before the content: if the file changes in between,
	// the next stamp differs.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	stamp, settled := stampOf(info, time.Now(), l.config.Settle)
	content, err := readAll(f, info, l.config.MaxFileBytes)
	if err != nil {
		return nil, err
	}
	text := string(content)
	return &fileText{content: text, chunks: splitAny(text), stamp: stamp, settled: settled}, nil
}

func readAll(f *os.File, info fs.FileInfo, most int) ([]byte, error) {
	if !info.Mode().IsRegular() || isPseudo(f) {
		return nil, errNotRegular
	}
	if info.Size() > int64(most) {
		return nil, errTooLarge
	}
	content := make([]byte, 0, info.Size()+1)
	for {
		n, err := f.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case len(content) > most:
			return nil, errTooLarge
		case err == io.EOF:
			return content, nil
		case err != nil:
			return nil, fmt.Errorf("reading it: %w", plainError(err))
		case len(content) == cap(content):
			content = append(content, 0)[:len(content)] // it grew meanwhile
		}
	}
}

// parallel calls work for 0 to n-1 on all processors and returns when all is
// done.
func parallel(n int, work func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	wg.Wait()
}
