package filter

import (
	"fmt"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
)

// edit changes the fields of requests and responses: it removes, then sets, then adds.
// X-Forwarded-* and similar fields are set before, so they can be changed.
type edit struct{ request, response headEdit }

// headEdit changes the fields of one head.
type headEdit struct {
	remove, set, add []editField
}

type editField struct {
	id    msg.FieldID
	name  string
	bytes []byte // the name
	value []byte
}

func newEdit(e *model.Edit) (exchange.Filter, error) {
	f := &edit{}
	var err error
	if f.request, err = compileEdit(e.Request); err != nil {
		return nil, err
	}
	f.response, err = compileEdit(e.Response)
	return f, err
}

// notEditable are the fields that frame or route a message, or concern one connection.
// The engine writes them.
const notEditable = 1<<msg.Host | 1<<msg.Connection | 1<<msg.ContentLength | 1<<msg.TransferEncoding |
	1<<msg.Expect | 1<<msg.Upgrade | 1<<msg.TE | 1<<msg.Trailer | 1<<msg.KeepAlive |
	1<<msg.ProxyConnection | 1<<msg.HTTP2Settings | 1<<msg.Twin

func compileEdit(e *model.HeaderEdit) (out headEdit, err error) {
	if e == nil {
		return out, nil
	}
	for _, name := range e.Remove {
		if err = appendField(&out.remove, name, ""); err != nil {
			return out, err
		}
	}
	for _, h := range e.Set {
		if err = appendField(&out.set, h.Name, h.Value); err != nil {
			return out, err
		}
	}
	for _, h := range e.Add {
		if err = appendField(&out.add, h.Name, h.Value); err != nil {
			return out, err
		}
	}
	return out, nil
}

func appendField(list *[]editField, name, value string) error {
	f := editField{name: name, bytes: []byte(name), value: []byte(value)}
	ok, underscore := msg.CheckName(f.bytes)
	if !ok || !msg.IsValue(f.value) {
		return fmt.Errorf("%q with %q is no field", name, value)
	}
	if f.id = msg.Classify(f.bytes, underscore); notEditable&(1<<f.id) != 0 {
		return fmt.Errorf("%s is the proxy's own to write", name)
	}
	*list = append(*list, f)
	return nil
}

func (f *edit) Request(x *exchange.Exchange) bool { f.request.apply(&x.Req); return false }
func (f *edit) Response(x *exchange.Exchange)     { f.response.apply(&x.Resp) }

func (e *headEdit) apply(h *msg.Head) {
	for i := range e.remove {
		e.remove[i].drop(h)
	}
	for i := range e.set {
		f := &e.set[i]
		f.drop(h)
		h.Add(f.id, f.name, f.value)
	}
	for i := range e.add {
		f := &e.add[i]
		h.Add(f.id, f.name, f.value)
	}
}

func (f *editField) drop(h *msg.Head) {
	if f.id == msg.OtherField || f.id == msg.Spoof {
		h.DropName(f.bytes)
		return
	}
	h.Drop(f.id)
}
