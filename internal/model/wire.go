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

// envelope is the wire form behind its magic. Each value of the configuration
// and of the endpoints is encoded on its own: its hash is that of these bytes,
// so that neither side encodes anything twice.
type envelope struct {
	Schema    int                      `cbor:"1,keyasint"`
	Listeners []cbor.RawMessage        `cbor:"2,keyasint,omitempty"`
	Hosts     []cbor.RawMessage        `cbor:"3,keyasint,omitempty"`
	Services  []cbor.RawMessage        `cbor:"4,keyasint,omitempty"`
	Endpoints []cbor.RawMessage        `cbor:"5,keyasint,omitempty"`
	Secrets   []Secret                 `cbor:"6,keyasint,omitempty"`
	Origins   map[string]reason.Origin `cbor:"7,keyasint,omitempty"`
	Bundles   []Bundle                 `cbor:"8,keyasint,omitempty"`
	Relays    []cbor.RawMessage        `cbor:"9,keyasint,omitempty"`
}

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
	body, err := wireCodec.enc.Marshal(s.envelope())
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return append(bytes.Clone(wireMagic), body...), nil
}

func (s *Snapshot) envelope() envelope {
	c := &s.config
	return envelope{
		Schema, c.listeners.data, c.hosts.data, c.services.data, s.endpoints.data, s.Secrets, s.Origins, s.Bundles, c.relays.data,
	}
}

// IsWire reports whether data begins as a wire form does.
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
	config, err := e.config(base)
	if err != nil {
		return nil, err
	}
	endpoints, err := e.endpoints(base)
	if err != nil {
		return nil, err
	}
	parts := Parts{Config: config.config, Endpoints: endpoints.endpoints, Secrets: e.Secrets, Bundles: e.Bundles, Origins: e.Origins}
	known := byHash(base.HostHashes, base.Config.Hosts)
	if err := validate(&parts, func(i int) bool { return known[config.pieces.hosts.hashes[i]] != nil }); err != nil {
		return nil, err
	}
	if !eachList(&parts, checkList) {
		return nil, errors.New("its parts are not in order")
	}
	return Compose(config, endpoints, FreezeSecrets(e.Secrets, e.Bundles)), nil
}

// config decodes the configuration, and shares with base what is the same.
func (e *envelope) config(base *Snapshot) (FrozenConfig, error) {
	f, errs, b := FrozenConfig{origins: e.Origins}, [4]error{}, &base.config
	f.config.Listeners, f.pieces.listeners, errs[0] = decodeAll(e.Listeners, b.listeners.hashes, base.Config.Listeners)
	f.config.Relays, f.pieces.relays, errs[1] = decodeAll(e.Relays, b.relays.hashes, base.Config.Relays)
	f.config.Services, f.pieces.services, errs[2] = decodeAll(e.Services, b.services.hashes, base.Config.Services)
	f.config.Hosts, f.pieces.hosts, errs[3] = decodeAll(e.Hosts, b.hosts.hashes, base.Config.Hosts)
	f.Hash = f.pieces.hash()
	return f, errors.Join(errs[:]...)
}

// endpoints is config for the endpoints.
func (e *envelope) endpoints(base *Snapshot) (FrozenEndpoints, error) {
	all, p, err := decodeAll(e.Endpoints, base.endpoints.hashes, base.Endpoints)
	return FrozenEndpoints{p.hash(), all, p}, err
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
func encodeAll[T any](all []T) pieces {
	p := pieces{make([]cbor.RawMessage, len(all)), make([]Hash, len(all))}
	parallel(len(all), func(i int) {
		p.data[i] = encode(&all[i])
		p.hashes[i] = hashOf(p.data[i])
	})
	return p
}

// byHash indexes all by their hashes, which stand at the same places.
func byHash[T any](hashes []Hash, all []T) map[Hash]*T {
	out := make(map[Hash]*T, len(all))
	for i := range all {
		out[hashes[i]] = &all[i]
	}
	return out
}

// decodeAll hashes each of data, and decodes those that are not among known,
// whose hashes are knownHashes.
func decodeAll[T any](data []cbor.RawMessage, knownHashes []Hash, known []T) ([]T, pieces, error) {
	out, hashes, errs := make([]T, len(data)), make([]Hash, len(data)), make([]error, len(data))
	before := byHash(knownHashes, known)
	parallel(len(data), func(i int) {
		hashes[i] = hashOf(data[i])
		if same := before[hashes[i]]; same != nil {
			out[i] = *same
			return
		}
		errs[i] = wireCodec.dec.Unmarshal(data[i], &out[i])
	})
	return out, pieces{data, hashes}, errors.Join(errs...)
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
