package websocket

import (
	"bytes"
	"testing"
)

// The examples of RFC 6455 §5.7, and the smallest and largest lengths of each form.
func TestFrames(t *testing.T) {
	frames := []struct {
		name  string
		frame []byte
	}{
		{"an unmasked text", []byte{0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f}},
		{"a masked text", []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}},
		{"a fragment", []byte{0x01, 0x03, 0x48, 0x65, 0x6c}},
		{"a ping", []byte{0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f}},
		{"nothing", []byte{0x82, 0x00}},
		{"nothing, masked", []byte{0x82, 0x80, 1, 2, 3, 4}},
		{"256 bytes", append([]byte{0x82, 0x7e, 0x01, 0x00}, make([]byte, 256)...)},
		{"64 KiB", append([]byte{0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 65536)...)},
		{"256 bytes, masked", append([]byte{0x82, 0xfe, 0x01, 0x00, 1, 2, 3, 4}, make([]byte, 256)...)},
	}
	for _, tt := range frames {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, len(tt.frame)} {
				var f Frames
				two := append(bytes.Clone(tt.frame), tt.frame...)
				for at := 0; at < len(two); {
					n := f.ToEnd(two[at:min(at+piece, len(two))])
					if at += n; f.Between() != (at%len(tt.frame) == 0) {
						t.Fatalf("in pieces of %d: between frames behind %d bytes: %t", piece, at, f.Between())
					}
				}
				if f.Closed() {
					t.Error("it counts as closed")
				}
			}
		})
	}
	var f Frames
	if f.Pass(append(bytes.Clone(frames[0].frame), GoingAway[:3]...)); f.Closed() {
		t.Error("closed in the middle of a Close")
	}
	if f.Pass(GoingAway[3:]); !f.Closed() || !f.Between() {
		t.Error("not closed behind a Close")
	}
}

// The frames do not depend on how the bytes are split.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x88, 0}, uint8(3))
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint8(1))
	f.Fuzz(func(t *testing.T, p []byte, cut uint8) {
		var whole, pieces Frames
		whole.Pass(p)
		n := int(cut)%8 + 1
		for rest := p; len(rest) > 0; rest = rest[min(n, len(rest)):] {
			pieces.Pass(rest[:min(n, len(rest))])
		}
		whole.head, pieces.head = [14]byte{}, [14]byte{}
		if whole != pieces {
			t.Errorf("%+v and %+v", whole, pieces)
		}
	})
}
