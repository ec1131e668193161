package dir

import (
	"errors"
	"fmt"
	"time"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// Loader reads directories into Sets, and remembers what it has read: texts,
// so that only new ones are decoded, and the last good version of each object.
//
// Load has one caller at a time. Check and Watch may run beside it.
type Loader struct {
	config Config
	reader *reader

	files     map[string]*fileText // by real path
	documents map[string]*document // by text
	builder   *source.Builder
	set       *source.Set // the last one

	// again has Watch call dirty: what stands in the files counts later, or
	// could not be read as a whole.
	again chan struct{}
}

// NewLoader makes a Loader. It reads nothing yet.
func NewLoader(config Config) *Loader {
	config = config.withDefaults()
	return &Loader{config: config, reader: newReader(config), builder: source.NewBuilder(), again: make(chan struct{}, 1)}
}

// located is a document and where it stands.
type located struct {
	file string
	chunk
	doc *document
}

// Load reads the directories as they are now. It never fails: what is wrong is
// in the Set's Reports. The Set is not changed afterwards.
func (l *Loader) Load() *source.Set {
	list, texts, errs, whole := l.readWhole()
	if !whole && l.set != nil {
		l.loadAgain(time.Second)
		return l.set
	}
	held := l.builder.Files()
	s := l.builder.Begin()
	for _, lost := range list.lost {
		losePath(s, lost)
	}
	files := l.boundFiles(list.files, s)
	for i, err := range errs {
		if err != nil {
			loseFile(s, files[i].path, l.readReport(files[i].path, err))
		}
	}
	l.holdTorn(files, texts, s)
	documents := l.locate(files, texts, s)
	l.decode(documents)
	l.loseEmptied(held, files, texts, documents, s)
	for _, at := range documents {
		addDocument(s, at)
	}
	l.set = s.Set()
	return l.set
}

// losePath notes a path that could not be listed or followed.
func losePath(s *source.Batch, lost lostPath) {
	s.LoseDir(lost.path)
	if !lost.quiet {
		s.Report(reason.New(reason.Unreadable, reason.Origin{File: lost.path}, lost.err.Error()))
	}
}

// loseFile notes a file that is set aside as a whole.
func loseFile(s *source.Batch, path string, why reason.Report) {
	s.LoseFile(path, 0)
	s.Report(why)
}

// addDocument adds what one document says. Documents come by file and line.
func addDocument(s *source.Batch, at located) {
	for _, p := range at.doc.problems {
		s.Report(p.Report(reason.Origin{File: at.file}, at.base))
	}
	if at.doc.lost {
		s.LoseFile(at.file, at.base+at.doc.lostLine())
	}
	for _, u := range at.doc.unknown {
		s.Unknown(u.version, u.kind, reason.Origin{File: at.file, Line: at.base + u.line})
	}
	for _, o := range at.doc.objects {
		s.Add(o, at.file, at.base)
	}
}

// readWhole lists and reads the files of one moment. A directory whose links
// are swapped meanwhile, as a mounted ConfigMap's are, is read again, so that no
// Set mixes two versions; whole is false if it was swapped every time.
func (l *Loader) readWhole() (list listing, texts []*fileText, errs []error, whole bool) {
	const tries = 5
	for range tries {
		list = scan(&l.config)
		texts, errs = l.readFiles(list.files[:min(len(list.files), l.config.MaxFiles)])
		if !list.moved() {
			return list, texts, errs, true
		}
	}
	return list, texts, errs, false
}

// loadAgain has Watch call dirty after a while.
func (l *Loader) loadAgain(after time.Duration) {
	time.AfterFunc(after, func() {
		select {
		case l.again <- struct{}{}:
		default:
		}
	})
}

// loseEmptied has the resources of files stay that are empty now and were not:
// a file is empty for a moment while it is written in place. Who wants them to
// go deletes the file.
func (l *Loader) loseEmptied(held map[string]bool, files []foundFile, texts []*fileText, documents []located, s *source.Batch) {
	says := map[string]bool{}
	for _, at := range documents {
		if len(at.doc.objects)+len(at.doc.unknown)+len(at.doc.problems) > 0 {
			says[at.file] = true
		}
	}
	for i, file := range files {
		if texts[i] != nil && held[file.path] && !says[file.path] {
			loseFile(s, file.path, reason.New(reason.KeptLastGood, reason.Origin{File: file.path}, "the file is empty now, so what it held stays in force").
				WithFix("delete the file if its resources are to go"))
		}
	}
}

// boundFiles drops the files beyond the bound.
func (l *Loader) boundFiles(files []foundFile, s *source.Batch) []foundFile {
	most := l.config.MaxFiles
	if len(files) <= most {
		return files
	}
	at := reason.Origin{File: files[most].path}
	message := fmt.Sprintf("there are %d files, and only %d are read: neither this one nor those after it", len(files), most)
	report := reason.New(reason.TooLarge, at, message).WithFix("put fewer files into the directories")
	for _, file := range files[most:] {
		loseFile(s, file.path, report)
	}
	return files[:most]
}

func (l *Loader) readReport(path string, err error) reason.Report {
	at := reason.Origin{File: path}
	if errors.Is(err, errTooLarge) {
		return reason.New(reason.TooLarge, at, fmt.Sprintf("the file is larger than %d bytes", l.config.MaxFileBytes)).WithFix("split it")
	}
	return reason.New(reason.Unreadable, at, plainError(err).Error())
}

// locate lists the documents of all files, up to the bound. A file that does
// not fit is set aside as a whole.
func (l *Loader) locate(files []foundFile, texts []*fileText, s *source.Batch) []located {
	var out []located
	for i, text := range texts {
		if text == nil {
			continue
		}
		if len(out)+len(text.chunks) > l.config.MaxDocuments {
			message := fmt.Sprintf("with this file there would be more than %d documents", l.config.MaxDocuments)
			report := reason.New(reason.TooLarge, reason.Origin{File: files[i].path}, message)
			loseFile(s, files[i].path, report.WithFix("put fewer documents into the directories"))
			continue
		}
		for _, c := range text.chunks {
			out = append(out, located{file: files[i].path, chunk: c})
		}
	}
	return out
}

// decode finds the document of each text. It decodes those whose text is new,
// and forgets those whose text is gone.
func (l *Loader) decode(all []located) {
	known := make(map[string]*document, len(all))
	var fresh []*located
	for i := range all {
		at := &all[i]
		if at.doc = known[at.text]; at.doc != nil {
			continue
		}
		if at.doc = l.documents[at.text]; at.doc == nil {
			at.doc = &document{}
			fresh = append(fresh, at)
		}
		known[at.text] = at.doc
	}
	parallel(len(fresh), func(i int) { *fresh[i].doc = *l.reader.document(fresh[i].text) })
	l.documents = known
}
