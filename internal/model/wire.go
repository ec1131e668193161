package model

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// Schema is the level of the wire form. It grows when a field is added that an
// older proxy could not honour.
const Schema = 1

// wireMagic starts every wire form, so that a file of it is told from text.
var wireMagic = []byte{0xd9, 0xd9, 0xf7} // self-described CBOR, RFC 8949 §3.4.6

// maxWire bounds the elements of any one list or map in a wire form.
const maxWire = 1 << 22

type envelope struct {
	Schema int   `cbor:"1,keyasint"`
	Parts  Parts `cbor:"2,keyasint"`
}

// codec holds the CBOR modes. Building one is cheap beside what it codes.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

var wireCodec = newCodec()

func newCodec() codec {
	encOptions := cbor.CoreDetEncOptions()
	encOptions.BinaryMarshaler = cbor.BinaryMarshalerByteString
	encOptions.NilContainers = cbor.NilContainerAsEmpty // nil and empty are one thing, with one hash
	enc, err := encOptions.UserBufferEncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxArrayElements:  maxWire,
		MaxMapPairs:       maxWire,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return codec{enc, dec}
}

// ErrWire is wrapped by all errors of Decode.
var ErrWire = errors.New("not a valid snapshot")

// Encode writes the wire form. It holds key material: keep it as private as
// the keys.
func Encode(s *Snapshot) ([]byte, error) {
	body, err := wireCodec.enc.Marshal(envelope{Schema, s.Parts})
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return append(bytes.Clone(wireMagic), body...), nil
}

// IsWire tells whether data begins as a wire form does.
func IsWire(data []byte) bool { return bytes.HasPrefix(data, wireMagic) }

// Decode reads a wire form. An unknown field, a duplicate key or a newer
// schema is an error: nothing that the sender meant is ever skipped.
func Decode(data []byte) (*Snapshot, error) {
	if !IsWire(data) {
		return nil, fmt.Errorf("%w: it does not start as one", ErrWire)
	}
	var e envelope
	if err := wireCodec.dec.Unmarshal(data[len(wireMagic):], &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWire, err)
	}
	if e.Schema != Schema {
		return nil, fmt.Errorf("%w: schema %d, this program speaks %d", ErrWire, e.Schema, Schema)
	}
	if err := Validate(&e.Parts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWire, err)
	}
	return Freeze(e.Parts), nil
}

// hashValue hashes the deterministic encoding of v.
func hashValue(v any) Hash { return new(hasher).hash(v) }

// hasher hashes one value after the other in one buffer.
type hasher struct{ buf bytes.Buffer }

func (h *hasher) hash(v any) Hash {
	h.buf.Reset()
	if err := wireCodec.enc.MarshalToBuffer(v, &h.buf); err != nil {
		panic(err) // plain structs of this package always encode
	}
	sum := sha256.Sum256(h.buf.Bytes())
	return Hash(sum[:16])
}

// hashAll hashes each of all, on every core.
func hashAll[T any](all []T) []Hash {
	out := make([]Hash, len(all))
	workers := min(runtime.GOMAXPROCS(0), len(all)/64+1)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var h hasher
			for i := w; i < len(all); i += workers {
				out[i] = h.hash(&all[i])
			}
		})
	}
	wg.Wait()
	return out
}
