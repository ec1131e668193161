package http3

// StreamKind is what a client says a stream of its own is for (RFC 9114 §6.2,
// RFC 9204 §4.2).
type StreamKind uint64

// The kinds.
const (
	ControlStream StreamKind = 0x0
	PushStream    StreamKind = 0x1
	EncoderStream StreamKind = 0x2
	DecoderStream StreamKind = 0x3
)

const (
	// settingMaxSection is SETTINGS_MAX_FIELD_SECTION_SIZE.
	settingMaxSection = 0x6
	// maxControl bounds a frame on the control stream.
	maxControl = 4 << 10
)

// AppendControl begins our control stream: its kind, and our settings. Those
// for compression are left out: we keep no dynamic table.
func AppendControl(dst []byte, maxSection int) []byte {
	setting := appendVarint(appendVarint(nil, settingMaxSection), uint64(maxSection))
	dst = appendVarint(dst, uint64(ControlStream))
	return append(appendFrameHead(dst, settingsFrame, uint64(len(setting))), setting...)
}

// LastID is the largest id of a client's request stream.
const LastID = maxVarint - 3

// AppendGoAway writes that streams from id on are not served (RFC 9114 §5.2).
func AppendGoAway(dst []byte, id uint64) []byte {
	payload := appendVarint(nil, id)
	return append(appendFrameHead(dst, goAwayFrame, uint64(len(payload))), payload...)
}

// Control reads a client's control stream.
type Control struct {
	settled   bool
	left      uint64 // of a frame that nobody looks at
	maxPushID uint64
}

// Read reads what p has behind the stream's kind. used is how much of it is done
// with; the rest is to be given again, with more behind it.
func (c *Control) Read(p []byte) (used int, err error) {
	for {
		n := min(c.left, uint64(len(p)-used))
		c.left -= n
		used += int(n)
		kind, length, head := frameHead(p[used:])
		if c.left > 0 || head == 0 {
			return used, nil
		}
		if err := c.allow(kind); err != nil {
			return used, err
		}
		if kind != settingsFrame && kind != maxPushIDFrame && kind != goAwayFrame {
			c.left = length
			used += head
			continue
		}
		if length > maxControl {
			return used, broken(ExcessiveLoad, "a frame on the control stream that is too long")
		}
		if length > uint64(len(p)-used-head) {
			return used, nil
		}
		if err := c.payload(kind, p[used+head:used+head+int(length)]); err != nil {
			return used, err
		}
		used += head + int(length)
	}
}

// allow reports whether a frame may come now (RFC 9114 §6.2.1, §7.2).
func (c *Control) allow(kind uint64) error {
	switch {
	case !c.settled && kind != settingsFrame:
		return broken(MissingSettings, "a control stream that does not begin with SETTINGS (RFC 9114 §6.2.1)")
	case c.settled && kind == settingsFrame:
		return broken(FrameUnexpected, "SETTINGS twice (RFC 9114 §7.2.4)")
	case kind == dataFrame, kind == headersFrame, kind == pushPromiseFrame, isHTTP2(kind):
		return broken(FrameUnexpected, "a frame that has no place on a control stream (RFC 9114 §7.2)")
	case kind == cancelPushFrame:
		return broken(IDError, "CANCEL_PUSH for a push that was never promised (RFC 9114 §7.2.3)")
	}
	return nil
}

func (c *Control) payload(kind uint64, p []byte) error {
	if kind == settingsFrame {
		c.settled = true
		return checkSettings(p)
	}
	id, n := Varint(p)
	switch {
	case n == 0 || n != len(p):
		return broken(FrameError, "a frame that is not one number long (RFC 9114 §7.1)")
	case kind == maxPushIDFrame && id < c.maxPushID:
		return broken(IDError, "MAX_PUSH_ID that shrinks (RFC 9114 §7.2.7)")
	case kind == maxPushIDFrame:
		c.maxPushID = id
	}
	return nil
}

// checkSettings looks for what must not be among them (RFC 9114 §7.2.4). We use
// none: we send nothing that they allow.
func checkSettings(p []byte) error {
	seen := map[uint64]bool{}
	for len(p) > 0 {
		id, n := Varint(p)
		_, m := Varint(p[n:])
		switch {
		case n == 0 || m == 0:
			return broken(FrameError, "SETTINGS that end within a setting (RFC 9114 §7.1)")
		case seen[id]:
			return broken(SettingsError, "a setting twice (RFC 9114 §7.2.4)")
		case id >= 0x2 && id <= 0x5:
			return broken(SettingsError, "a setting of HTTP/2 (RFC 9114 §7.2.4.1)")
		}
		seen[id] = true
		p = p[n+m:]
	}
	return nil
}

// ReadEncoder looks at what a client's encoder says. Without a dynamic table it
// can only say that there is none (RFC 9204 §3.2.3, §4.3.1).
func ReadEncoder(p []byte) error {
	for _, c := range p {
		if c != 0x20 {
			return broken(EncoderStreamError, "an instruction for a dynamic table, and there is none (RFC 9204 §4.3)")
		}
	}
	return nil
}

// Decoder reads what a client's decoder says. It can have nothing to acknowledge
// (RFC 9204 §4.4).
type Decoder struct{ within bool }

// Read reads what p has.
func (d *Decoder) Read(p []byte) error {
	for _, c := range p {
		switch {
		case d.within: // the rest of a stream's number
			d.within = c&0x80 != 0
		case c&0xc0 != 0x40:
			return broken(DecoderStreamError, "an acknowledgement, and there is nothing to acknowledge (RFC 9204 §4.4)")
		default:
			d.within = c&0x3f == 0x3f
		}
	}
	return nil
}
