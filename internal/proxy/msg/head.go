package msg

import "slices"

// Span is a range of bytes in a buffer.
type Span struct{ Start, End uint32 }

// Len returns the number of bytes.
func (s Span) Len() int { return int(s.End - s.Start) }

// Field is one header field. Its name and value lie in Head.Buf, or in Head.Aux if the
// field was added.
type Field struct {
	Name, Value Span
	// LineEnd is the offset after the line's CRLF; the line starts with Name.
	LineEnd uint32
	ID      FieldID
	Added   bool
	Dropped bool
}

// Head is the head of a request or response: its start line and header section.
type Head struct {
	// Buf holds the head as it was received.
	Buf []byte
	// Aux holds added fields, each as a complete line.
	Aux    []byte
	Fields []Field

	// Method and Target are set for a request.
	Method, Target Span
	// Status and Reason are set for a response.
	Status int
	Reason Span
	// Major is 2 or 3 for those versions, and 0 for HTTP/1.x, where Minor is x. For
	// HTTP/2 and HTTP/3 Minor is 1: they support what HTTP/1.1 does.
	Major, Minor uint8
	// Known has a bit for each FieldID that is present.
	Known uint64
}

// Reset empties h for the next message and keeps its memory.
func (h *Head) Reset() {
	*h = Head{Aux: h.Aux[:0], Fields: h.Fields[:0]}
}

// View makes h a view of another head's bytes, with its own list of fields for edits.
// It is valid as long as the other's buffer.
func (h *Head) View(of *Head) {
	fields, aux := append(h.Fields[:0], of.Fields...), append(h.Aux[:0], of.Aux...)
	*h = *of
	h.Fields, h.Aux = fields, aux
}

// Clone returns an independent copy of h, which stays valid.
func (h *Head) Clone() *Head {
	c := *h
	c.Buf, c.Aux, c.Fields = slices.Clone(h.Buf), slices.Clone(h.Aux), slices.Clone(h.Fields)
	return &c
}

// Size returns the number of bytes that h holds.
func (h *Head) Size() int { return len(h.Buf) + len(h.Aux) }

// Bytes returns the part of Buf that s covers.
func (h *Head) Bytes(s Span) []byte { return h.Buf[s.Start:s.End] }

// Name returns the name of f as it was sent.
func (h *Head) Name(f *Field) []byte {
	if f.Added {
		return h.Aux[f.Name.Start:f.Name.End]
	}
	return h.Buf[f.Name.Start:f.Name.End]
}

// Value returns the value of f, without surrounding white space.
func (h *Head) Value(f *Field) []byte {
	if f.Added {
		return h.Aux[f.Value.Start:f.Value.End]
	}
	return h.Buf[f.Value.Start:f.Value.End]
}

// Has reports whether a known field is present.
func (h *Head) Has(id FieldID) bool { return h.Known&(1<<id) != 0 }

// Get returns the value of the first field with that id, or nil.
func (h *Head) Get(id FieldID) []byte {
	if f := h.find(id); f != nil {
		return h.Value(f)
	}
	return nil
}

// AppendList appends the values of all fields with that id to dst as one list, in their
// order (RFC 9110 §5.3).
func (h *Head) AppendList(dst []byte, id FieldID) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != id || f.Dropped || f.Value.Len() == 0 {
			continue
		}
		if len(dst) > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, h.Value(f)...)
	}
	return dst
}

// Count returns the number of fields with that id.
func (h *Head) Count(id FieldID) int {
	n := 0
	if h.Has(id) {
		for i := range h.Fields {
			if f := &h.Fields[i]; f.ID == id && !f.Dropped {
				n++
			}
		}
	}
	return n
}

func (h *Head) find(id FieldID) *Field {
	if !h.Has(id) {
		return nil
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == id && !f.Dropped {
			return f
		}
	}
	return nil
}

// Drop removes all fields with that id.
func (h *Head) Drop(id FieldID) {
	if !h.Has(id) {
		return
	}
	for i := range h.Fields {
		if h.Fields[i].ID == id {
			h.Fields[i].Dropped = true
		}
	}
	h.Known &^= 1 << id
}

// Lookup returns the value of the first field of that name, compared
// case-insensitively, or nil.
func (h *Head) Lookup(name string) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Dropped && EqualFold(h.Name(f), name) {
			return h.Value(f)
		}
	}
	return nil
}

// DropName removes all fields of that name, compared case-insensitively.
func (h *Head) DropName(name []byte) {
	for i := range h.Fields {
		if f := &h.Fields[i]; EqualFold(h.Name(f), name) {
			f.Dropped = true
			h.forget(f.ID)
		}
	}
}

// forget clears the bit of an id if no field has it any more.
func (h *Head) forget(id FieldID) {
	if id == OtherField {
		return
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == id && !f.Dropped {
			return
		}
	}
	h.Known &^= 1 << id
}

// Add appends a field. It does not check that the name and value are valid.
func (h *Head) Add(id FieldID, name string, value []byte) {
	start := uint32(len(h.Aux))
	h.Aux = append(append(append(h.Aux, name...), ": "...), value...)
	h.Aux = append(h.Aux, '\r', '\n')
	nameEnd := start + uint32(len(name))
	end := uint32(len(h.Aux))
	h.Fields = append(h.Fields, Field{
		Name: Span{start, nameEnd}, Value: Span{nameEnd + 2, end - 2},
		LineEnd: end, ID: id, Added: true,
	})
	if id != OtherField {
		h.Known |= 1 << id
	}
}

// Set replaces all fields with that id by one field.
func (h *Head) Set(id FieldID, name string, value []byte) {
	h.Drop(id)
	h.Add(id, name, value)
}

// SetName replaces all fields of that name by one field.
func (h *Head) SetName(name string, value []byte) {
	h.DropName([]byte(name))
	h.Add(OtherField, name, value)
}

// Block is a sequence of fields that is made once and added to many heads.
type Block struct {
	lines  []byte
	fields []Field
	known  uint64
}

// NewBlock returns a Block of the fields that were added to h.
func NewBlock(h *Head) *Block {
	b := &Block{lines: slices.Clone(h.Aux)}
	for _, f := range h.Fields {
		if f.Added && !f.Dropped {
			b.fields = append(b.fields, f)
			if f.ID != OtherField {
				b.known |= 1 << f.ID
			}
		}
	}
	return b
}

// AddBlock appends the fields of b.
func (h *Head) AddBlock(b *Block) {
	shift := uint32(len(h.Aux))
	h.Aux = append(h.Aux, b.lines...)
	for _, f := range b.fields {
		f.Name.Start += shift
		f.Name.End += shift
		f.Value.Start += shift
		f.Value.End += shift
		f.LineEnd += shift
		h.Fields = append(h.Fields, f)
	}
	h.Known |= b.known
}

// EqualFold compares ASCII text case-insensitively.
func EqualFold[A, B ~[]byte | ~string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
