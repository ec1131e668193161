package model

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"windrose.dev/windrose/internal/reason"
)

// Schema is the level of the wire form. It grows when a field is added that an
// older proxy could not honour.
const Schema = 2

// wireMagic starts every wire form, so that a file of it is told from text.
var wireMagic = []byte{0xd9, 0xd9, 0xf7} // self-described CBOR, RFC 8949 §3.4.6

// maxWire bounds the elements of any one list or map in a wire form.
const maxWire = 1 << 22

// envelope is the wire form behind its magic. Hosts and endpoints are encoded
// on their own: their hashes are those of these bytes, so that neither side
// encodes anything twice.
type envelope struct {
	Schema    int                      `cbor:"1,keyasint"`
	Listeners []Listener               `cbor:"2,keyasint,omitempty"`
	Hosts     []cbor.RawMessage        `cbor:"3,keyasint,omitempty"`
	Services  []Service                `cbor:"4,keyasint,omitempty"`
	Endpoints []cbor.RawMessage        `cbor:"5,keyasint,omitempty"`
	Secrets   []Secret                 `cbor:"6,keyasint,omitempty"`
	Origins   map[string]reason.Origin `cbor:"7,keyasint,omitempty"`
	Bundles   []Bundle                 `cbor:"8,keyasint,omitempty"`
	Relays    []Relay                  `cbor:"9,keyasint,omitempty"`
}

// pieces are the encoded hosts and endpoints of a Snapshot.
type pieces struct{ hosts, endpoints []cbor.RawMessage }

// codec holds the CBOR modes. Building one is cheap beside what it codes.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

var wireCodec = newCodec()

func newCodec() codec {
	encOptions := cbor.CoreDetEncOptions()
	encOptions.BinaryMarshaler = cbor.BinaryMarshalerByteString
	encOptions.NilContainers = cbor.NilContainerAsEmpty // nil and empty are one thing, with one hash
	enc, err := encOptions.EncMode()
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
	body, err := wireCodec.enc.Marshal(envelope{
		Schema, s.Config.Listeners, s.pieces.hosts, s.Config.Services, s.pieces.endpoints, s.Secrets, s.Origins, s.Bundles, s.Config.Relays,
	})
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return append(bytes.Clone(wireMagic), body...), nil
}

// IsWire tells whether data begins as a wire form does.
func IsWire(data []byte) bool { return bytes.HasPrefix(data, wireMagic) }

// Decode reads a wire form. An unknown field, a duplicate key, a newer schema
// or another order than Freeze's is an error: nothing that the sender meant is
// ever skipped.
func Decode(data []byte) (*Snapshot, error) { return DecodeOver(data, nil) }

// DecodeOver is Decode for a Snapshot that mostly equals another. What is the
// same, by its hash, is shared with base and neither decoded nor checked again;
// base must have been decoded itself. A nil base has nothing to share.
func DecodeOver(data []byte, base *Snapshot) (*Snapshot, error) {
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
	if base == nil {
		base = &Snapshot{}
	}
	s, err := e.snapshot(base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWire, err)
	}
	return s, nil
}

func (e *envelope) snapshot(base *Snapshot) (*Snapshot, error) {
	s := &Snapshot{
		Parts:  Parts{Config: Config{Listeners: e.Listeners, Relays: e.Relays, Services: e.Services}, Secrets: e.Secrets, Bundles: e.Bundles, Origins: e.Origins},
		pieces: pieces{e.Hosts, e.Endpoints},
	}
	var err error
	hosts, endpoints := byHash(base.HostHashes, base.Config.Hosts), byHash(base.ServiceHashes, base.Endpoints)
	if s.Config.Hosts, s.HostHashes, err = decodeAll(e.Hosts, hosts); err != nil {
		return nil, err
	}
	if s.Endpoints, s.ServiceHashes, err = decodeAll(e.Endpoints, endpoints); err != nil {
		return nil, err
	}
	if err := validate(&s.Parts, func(i int) bool { return hosts[s.HostHashes[i]] != nil }); err != nil {
		return nil, err
	}
	if !eachList(&s.Parts, checkList) {
		return nil, errors.New("its parts are not in order")
	}
	digestSecrets(s.Secrets)
	digestBundles(s.Bundles)
	s.compose()
	return s, nil
}

// encode returns the deterministic encoding of v.
func encode(v any) []byte {
	data, err := wireCodec.enc.Marshal(v)
	if err != nil {
		panic(err) // plain structs of this package always encode
	}
	return data
}

// encodeAll encodes and hashes each of all.
func encodeAll[T any](all []T) ([]cbor.RawMessage, []Hash) {
	data, hashes := make([]cbor.RawMessage, len(all)), make([]Hash, len(all))
	parallel(len(all), func(i int) {
		data[i] = encode(&all[i])
		hashes[i] = hashOf(data[i])
	})
	return data, hashes
}

// byHash indexes all by their hashes, which stand at the same places.
func byHash[T any](hashes []Hash, all []T) map[Hash]*T {
	out := make(map[Hash]*T, len(all))
	for i := range all {
		out[hashes[i]] = &all[i]
	}
	return out
}

// decodeAll hashes each of all, and decodes those that are not known.
func decodeAll[T any](all []cbor.RawMessage, known map[Hash]*T) ([]T, []Hash, error) {
	out, hashes, errs := make([]T, len(all)), make([]Hash, len(all)), make([]error, len(all))
	parallel(len(all), func(i int) {
		hashes[i] = hashOf(all[i])
		if before := known[hashes[i]]; before != nil {
			out[i] = *before
			return
		}
		errs[i] = wireCodec.dec.Unmarshal(all[i], &out[i])
	})
	return out, hashes, errors.Join(errs...)
}

// parallel calls do for 0 to n-1, on every core.
func parallel(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/64+1)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	wg.Wait()
}
