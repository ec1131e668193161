package http3

// StreamKind is the type of a unidirectional stream (RFC 9114 §6.2, RFC 9204 §4.2).
type StreamKind uint64

// The stream types.
const (
	ControlStream StreamKind = 0x0
	PushStream    StreamKind = 0x1
	EncoderStream StreamKind = 0x2
	DecoderStream StreamKind = 0x3
)

const (
	// settingMaxSection is SETTINGS_MAX_FIELD_SECTION_SIZE.
	settingMaxSection = 0x6
	// maxControl bounds a frame on the control stream, in bytes.
	maxControl = 4 << 10
)

// AppendControl appends the start of our control stream: its type and our SETTINGS. The
// QPACK settings are omitted, because we use no dynamic table.
func AppendControl(dst []byte, maxSection int) []byte {
	setting := appendVarint(appendVarint(nil, settingMaxSection), uint64(maxSection))
	dst = appendVarint(dst, uint64(ControlStream))
	return append(appendFrameHead(dst, settingsFrame, uint64(len(setting))), setting...)
}

// LastID is the highest possible id of a request stream.
const LastID = maxVarint - 3

// AppendGoAway appends a GOAWAY: streams from id on are not processed (RFC 9114 §5.2).
func AppendGoAway(dst []byte, id uint64) []byte {
	payload := appendVarint(nil, id)
	return append(appendFrameHead(dst, goAwayFrame, uint64(len(payload))), payload...)
}

// Control reads a client's control stream.
type Control struct {
	settled   bool
	left      uint64 // of a frame that is skipped
	maxPushID uint64
}

// Read parses p, which follows the stream's type. It returns how many bytes it has
// used; the rest must be passed again, followed by the next bytes.
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

// allow checks whether a frame is permitted now (RFC 9114 §6.2.1, §7.2).
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

// checkSettings rejects forbidden settings (RFC 9114 §7.2.4). We ignore the others: we
// send nothing that they would permit.
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

// ReadEncoder checks the QPACK encoder stream of a client. Without a dynamic table, it
// may only set the capacity to 0 (RFC 9204 §3.2.3, §4.3.1).
func ReadEncoder(p []byte) error {
	for _, c := range p {
		if c != 0x20 {
			return broken(EncoderStreamError, "an instruction for a dynamic table, and there is none (RFC 9204 §4.3)")
		}
	}
	return nil
}

// Decoder checks the QPACK decoder stream of a client, which has nothing to acknowledge
// (RFC 9204 §4.4).
type Decoder struct{ within bool }

// Read checks the next bytes.
func (d *Decoder) Read(p []byte) error {
	for _, c := range p {
		switch {
		case d.within: // the rest of a stream id
			d.within = c&0x80 != 0
		case c&0xc0 != 0x40:
			return broken(DecoderStreamError, "an acknowledgement, and there is nothing to acknowledge (RFC 9204 §4.4)")
		default:
			d.within = c&0x3f == 0x3f
		}
	}
	return nil
}
