package model

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"windrose.dev/windrose/internal/reason"
)

// Schema is the schema level of the wire form. It grows with each new field that an older
// proxy could not honour. OldestSchema is the lowest level that can still be read and
// written; older forms are laid out differently.
const (
	Schema       = 3
	OldestSchema = 2
)

// wireMagic starts every wire form and distinguishes it from text.
var wireMagic = []byte{0xd9, 0xd9, 0xf7} // self-described CBOR, RFC 8949 §3.4.6

// maxWire bounds the elements of any one list or map in a wire form.
const maxWire = 1 << 22

// envelope is the wire form after its magic: a whole Snapshot, or a change of another
// one. Each value of a list is encoded on its own, so that its hash is the hash of the
// bytes received.
type envelope struct {
	Schema    int                      `cbor:"1,keyasint"`
	Listeners []cbor.RawMessage        `cbor:"2,keyasint,omitempty"`
	Hosts     []cbor.RawMessage        `cbor:"3,keyasint,omitempty"`
	Services  []cbor.RawMessage        `cbor:"4,keyasint,omitempty"`
	Endpoints []cbor.RawMessage        `cbor:"5,keyasint,omitempty"`
	Secrets   []cbor.RawMessage        `cbor:"6,keyasint,omitempty"`
	Origins   map[string]reason.Origin `cbor:"7,keyasint,omitempty"`
	Bundles   []cbor.RawMessage        `cbor:"8,keyasint,omitempty"`
	L4Routes  []cbor.RawMessage        `cbor:"9,keyasint,omitempty"`
	// Since is nil in a whole form.
	Since *since `cbor:"10,keyasint,omitempty"`
}

// since marks a form as a change: its lists hold only new values.
type since struct {
	// Base is the root hash of the Snapshot before the change, Root that of the one after
	// it.
	Base Hash `cbor:"1,keyasint"`
	Root Hash `cbor:"2,keyasint"`
	// The values to remove from the lists of Base, by index, ascending. A changed value
	// is removed here and stands anew in its list.
	Listeners []uint32 `cbor:"3,keyasint,omitempty"`
	Hosts     []uint32 `cbor:"4,keyasint,omitempty"`
	Services  []uint32 `cbor:"5,keyasint,omitempty"`
	Endpoints []uint32 `cbor:"6,keyasint,omitempty"`
	Secrets   []uint32 `cbor:"7,keyasint,omitempty"`
	Origins   []string `cbor:"8,keyasint,omitempty"`
	Bundles   []uint32 `cbor:"9,keyasint,omitempty"`
	L4Routes  []uint32 `cbor:"10,keyasint,omitempty"`
}

// codec holds the CBOR modes. Building one is cheap compared with encoding.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

var wireCodec = newCodec()

func newCodec() codec {
	encOptions := cbor.CoreDetEncOptions()
	encOptions.BinaryMarshaler = cbor.BinaryMarshalerByteString
	encOptions.NilContainers = cbor.NilContainerAsEmpty // nil and empty have one hash
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

// ErrWire is wrapped by all errors of Decode and DecodeOver but ErrBase.
var ErrWire = errors.New("not a valid snapshot")

// ErrBase is what DecodeOver returns for a change of a Snapshot other than base: the
// sender must send the whole form.
var ErrBase = errors.New("a change of another snapshot")

// Encode returns the wire form. It holds key material: keep it as private as the keys.
func Encode(s *Snapshot) ([]byte, error) { return EncodeOver(s, nil) }

// EncodeOver returns the change from base to s, for receivers that have base; its cost is
// in proportion to what changed. With a nil base it is Encode. The result is as private
// as that of Encode.
func EncodeOver(s, base *Snapshot) ([]byte, error) {
	e, err := s.envelope(base)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	body, err := wireCodec.enc.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return append(bytes.Clone(wireMagic), body...), nil
}

func (s *Snapshot) envelope(base *Snapshot) (envelope, error) {
	e := envelope{Schema: s.schema(), Origins: s.Origins}
	from := &Snapshot{}
	var gone since
	if base != nil {
		from, gone.Base, gone.Root, e.Since = base, base.Root, s.Root, &gone
		e.Origins, gone.Origins = changedOrigins(base.Origins, s.Origins)
	}
	c, b := &s.config, &from.config
	err := errors.Join(
		encodeList(listenerKind, b.listeners, c.listeners, &gone.Listeners, &e.Listeners),
		encodeList(l4RouteKind, b.l4Routes, c.l4Routes, &gone.L4Routes, &e.L4Routes),
		encodeList(serviceKind, b.services, c.services, &gone.Services, &e.Services),
		encodeList(hostKind, b.hosts, c.hosts, &gone.Hosts, &e.Hosts),
		encodeList(endpointsKind, from.endpoints.all, s.endpoints.all, &gone.Endpoints, &e.Endpoints),
		encodeList(secretKind, from.secrets.secrets, s.secrets.secrets, &gone.Secrets, &e.Secrets),
		encodeList(bundleKind, from.secrets.bundles, s.secrets.bundles, &gone.Bundles, &e.Bundles),
	)
	return e, err
}

// encodeList writes the values of f that base lacks, and the indexes in base of values
// that f lacks. It fails for a value that was decoded from another encoding than ours:
// the receiver could not compute its hash from the new bytes.
func encodeList[T any](k listKind[T], base, f frozen[T], gone *[]uint32, data *[]cbor.RawMessage) error {
	var added []uint32
	*gone, added = k.changed(base, f)
	out, foreign := make([]cbor.RawMessage, len(added)), make([]bool, len(added))
	parallel(len(added), func(i int) {
		v := &f.items[added[i]]
		out[i] = encode(v)
		foreign[i] = k.hash(v, out[i]) != f.hashes[added[i]]
	})
	if i := slices.Index(foreign, true); i >= 0 {
		return fmt.Errorf("a %s came in another encoding than ours", k.name)
	}
	*data = out
	return nil
}

// changedOrigins returns the origins of next that base lacks, and the keys that next
// lacks.
func changedOrigins(base, next map[string]reason.Origin) (changed map[string]reason.Origin, gone []string) {
	if maps.Equal(base, next) {
		return nil, nil
	}
	changed = map[string]reason.Origin{}
	for id, at := range next {
		if was, has := base[id]; !has || was != at {
			changed[id] = at
		}
	}
	for id := range base {
		if _, has := next[id]; !has {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	return changed, gone
}

// IsWire reports whether data begins like a wire form.
func IsWire(data []byte) bool { return bytes.HasPrefix(data, wireMagic) }

// Decode reads a whole wire form. An unknown field, a duplicate key, a newer schema, a
// value that the schema lacks, or an order other than Freeze's is an error: nothing that
// the sender meant is ever skipped.
func Decode(data []byte) (*Snapshot, error) { return DecodeOver(data, nil) }

// DecodeOver is Decode for a receiver that has decoded base before. A whole form may
// differ from base in anything; values with the same hash are shared with base, and
// neither decoded nor checked again. The result of EncodeOver must be a change of base,
// and costs in proportion to what changed. A nil base has nothing to share.
func DecodeOver(data []byte, base *Snapshot) (*Snapshot, error) {
	if !IsWire(data) {
		return nil, fmt.Errorf("%w: it does not start as one", ErrWire)
	}
	var e envelope
	if err := wireCodec.dec.Unmarshal(data[len(wireMagic):], &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWire, err)
	}
	if e.Schema < OldestSchema || e.Schema > Schema {
		return nil, fmt.Errorf("%w: schema %d, this program speaks %d to %d", ErrWire, e.Schema, OldestSchema, Schema)
	}
	if base == nil {
		base = &Snapshot{}
	}
	if e.Since != nil && e.Since.Base != base.Root {
		return nil, fmt.Errorf("%w: of %s, and not of %s", ErrBase, e.Since.Base, base.Root)
	}
	s, err := e.snapshot(base)
	if err == nil && e.Schema < Schema {
		s.level = e.Schema
		err = s.within(e.Schema)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWire, err)
	}
	return s, nil
}

// snapshot builds the Snapshot of a form. If the form is a change, it applies to base; if
// it is whole, equal values are shared with base.
func (e *envelope) snapshot(base *Snapshot) (*Snapshot, error) {
	from, gone, share := base, e.Since, &Snapshot{}
	if gone == nil {
		from, gone, share = &Snapshot{}, &since{}, base
	}
	config, err := e.config(&from.config, gone, &share.config)
	if err != nil {
		return nil, err
	}
	endpoints, changed, err := decodeList(endpointsKind, e.Endpoints, from.endpoints.all, gone.Endpoints, share.endpoints.all)
	if err != nil {
		return nil, err
	}
	secrets, err := e.frozenSecrets(&from.secrets, gone, &share.secrets)
	if err != nil {
		return nil, err
	}
	s := Compose(config.hashed(), FrozenEndpoints{all: endpoints}.hashed(), secrets.hashed())
	if e.Since != nil && s.Root != e.Since.Root {
		return nil, fmt.Errorf("the change leads to %s, and not to %s", s.Root, e.Since.Root)
	}
	return s, s.check(base, changed)
}

// check refuses a Snapshot that cannot be compiled. changed are the endpoints that base
// lacks.
func (s *Snapshot) check(base *Snapshot, changed []Endpoints) error {
	if !eachInEndpoints(changed, checkList) {
		return errNotInOrder
	}
	if base.Root != (Hash{}) && s.ConfigHash == base.ConfigHash && s.secrets.sameNames(&base.secrets) && maps.Equal(s.Origins, base.Origins) {
		return validateEndpoints(&s.Config, changed)
	}
	known := byHash(base.config.hosts)
	if err := validate(&s.Parts, func(i int) bool { return known[s.HostHashes[i]] != nil }); err != nil {
		return err
	}
	if !eachInConfig(&s.Config, checkList) {
		return errNotInOrder
	}
	return nil
}

var errNotInOrder = errors.New("its parts are not in order")

// config decodes the configuration.
func (e *envelope) config(from *FrozenConfig, gone *since, share *FrozenConfig) (f FrozenConfig, err error) {
	var errs [4]error
	f.listeners, _, errs[0] = decodeList(listenerKind, e.Listeners, from.listeners, gone.Listeners, share.listeners)
	f.l4Routes, _, errs[1] = decodeList(l4RouteKind, e.L4Routes, from.l4Routes, gone.L4Routes, share.l4Routes)
	f.services, _, errs[2] = decodeList(serviceKind, e.Services, from.services, gone.Services, share.services)
	f.hosts, _, errs[3] = decodeList(hostKind, e.Hosts, from.hosts, gone.Hosts, share.hosts)
	f.origins = withOrigins(from.origins, gone.Origins, e.Origins)
	return f, errors.Join(errs[:]...)
}

// frozenSecrets is config for secrets and bundles.
func (e *envelope) frozenSecrets(from *FrozenSecrets, gone *since, share *FrozenSecrets) (f FrozenSecrets, err error) {
	var errs [2]error
	f.secrets, _, errs[0] = decodeList(secretKind, e.Secrets, from.secrets, gone.Secrets, share.secrets)
	f.bundles, _, errs[1] = decodeList(bundleKind, e.Bundles, from.bundles, gone.Bundles, share.bundles)
	return f, errors.Join(errs[:]...)
}

func withOrigins(base map[string]reason.Origin, gone []string, changed map[string]reason.Origin) map[string]reason.Origin {
	switch {
	case len(gone) == 0 && len(changed) == 0:
		return base
	case len(base) == 0:
		return changed
	}
	all := maps.Clone(base)
	for _, id := range gone {
		delete(all, id)
	}
	maps.Copy(all, changed)
	return all
}

// decodeList hashes and decodes data, except for values that share has, and puts them in
// the place of the values gone from base. It also returns the values that it decoded.
func decodeList[T any](k listKind[T], data []cbor.RawMessage, base frozen[T], gone []uint32, share frozen[T]) (list frozen[T], decoded []T, err error) {
	added := frozen[T]{make([]T, len(data)), make([]Hash, len(data))}
	fresh, errs, known := make([]bool, len(data)), make([]error, len(data)), byHash(share)
	parallel(len(data), func(i int) {
		v := &added.items[i]
		if k.complete == nil { // its hash is the hash of its bytes
			added.hashes[i] = hashOf(data[i])
			if same := known[added.hashes[i]]; same != nil {
				*v = *same
				return
			}
		}
		fresh[i] = true
		if errs[i] = wireCodec.dec.Unmarshal(data[i], v); errs[i] == nil && k.complete != nil {
			k.complete(v)
			added.hashes[i] = k.hash(v, data[i])
		}
	})
	if err = errors.Join(errs...); err != nil {
		return list, nil, err
	}
	for i := range fresh {
		if fresh[i] {
			decoded = append(decoded, added.items[i])
		}
	}
	list, err = k.splice(base, gone, added)
	return list, decoded, err
}

// encode returns the deterministic encoding of v.
func encode(v any) []byte {
	data, err := wireCodec.enc.Marshal(v)
	if err != nil {
		panic(err) // plain structs of this package always encode
	}
	return data
}

// byHash indexes the values of a list by their hashes.
func byHash[T any](f frozen[T]) map[Hash]*T {
	out := make(map[Hash]*T, len(f.items))
	for i := range f.items {
		out[f.hashes[i]] = &f.items[i]
	}
	return out
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
