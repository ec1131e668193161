package http2

import "encoding/binary"

// settingID is the identifier of a setting (RFC 9113 §6.5.2, RFC 8441 §3).
type settingID uint16

const (
	headerTableSize      settingID = 1
	enablePush           settingID = 2
	maxConcurrentStreams settingID = 3
	initialWindowSize    settingID = 4
	maxFrameSize         settingID = 5
	maxHeaderListSize    settingID = 6
	enableConnect        settingID = 8
)

const settingLength = 6

// maxSettings bounds the settings of one frame. Only eight are in use.
const maxSettings = 64

// peerSettings are the settings of the peer.
type peerSettings struct {
	received bool
	// streams is the number of concurrent streams that we may open.
	streams uint32
	// window is the initial send window of streams, in bytes.
	window int64
	// connect reports whether the peer supports extended CONNECT (RFC 8441).
	connect bool
}

func newPeerSettings() peerSettings {
	return peerSettings{streams: maxWindow, window: firstWindow}
}

func appendSetting(dst []byte, id settingID, value uint32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(id))
	return binary.BigEndian.AppendUint32(dst, value)
}

// appendSettings appends our SETTINGS.
func (c *output) appendSettings() {
	var all []byte
	if c.cfg.Server {
		all = appendSetting(all, maxConcurrentStreams, c.cfg.MaxStreams)
		all = appendSetting(all, enableConnect, 1)
	} else {
		all = appendSetting(all, enablePush, 0)
	}
	all = appendSetting(all, maxHeaderListSize, uint32(c.cfg.Limits.HeadBytes))
	if c.cfg.StreamWindow != firstWindow {
		all = appendSetting(all, initialWindowSize, uint32(c.cfg.StreamWindow))
	}
	c.out = appendFrame(c.out, frame{length: len(all), kind: settingsFrame})
	c.out = append(c.out, all...)
}

func (c *flow) readSettings(f frame, p []byte) error {
	switch {
	case f.stream != 0:
		return broken(ProtocolError, "SETTINGS on a stream (RFC 9113 §6.5)")
	case f.has(flagAck) && len(p) > 0:
		return broken(FrameSizeError, "an acknowledgement of SETTINGS with a payload (RFC 9113 §6.5)")
	case f.has(flagAck):
		return c.idleFrame()
	case len(p)%settingLength != 0:
		return broken(FrameSizeError, "SETTINGS of a broken length (RFC 9113 §6.5)")
	case len(p) > maxSettings*settingLength || !c.settings.Spend(c.now):
		return broken(EnhanceYourCalm, "more SETTINGS than anyone needs")
	}
	for ; len(p) > 0; p = p[settingLength:] {
		id, value := settingID(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])
		if err := c.apply(id, value); err != nil {
			return err
		}
	}
	c.peer.received = true
	c.control(frame{kind: settingsFrame, flags: flagAck}, nil)
	c.handler.Settled()
	return nil
}

func (c *flow) apply(id settingID, value uint32) error {
	switch id {
	case enablePush:
		if value > 1 || value == 1 && !c.cfg.Server {
			return broken(ProtocolError, "a value of SETTINGS_ENABLE_PUSH that is not allowed (RFC 9113 §6.5.2)")
		}
	case maxConcurrentStreams:
		c.peer.streams = value
	case initialWindowSize:
		if value > maxWindow {
			return broken(FlowControlError, "an initial window above the largest (RFC 9113 §6.5.2)")
		}
		return c.shiftWindows(int64(value) - c.peer.window)
	case maxFrameSize:
		if value < maxFrame || value > 1<<24-1 {
			return broken(ProtocolError, "a largest frame out of bounds (RFC 9113 §6.5.2)")
		}
	case enableConnect:
		if value > 1 || value == 0 && c.peer.connect {
			return broken(ProtocolError, "a value of SETTINGS_ENABLE_CONNECT_PROTOCOL that is not allowed (RFC 8441 §3)")
		}
		c.peer.connect = value == 1
	}
	return nil
}

// shiftWindows changes the send windows of all streams by the change of the initial
// window (RFC 9113 §6.9.2).
func (c *flow) shiftWindows(by int64) error {
	c.peer.window += by
	for _, s := range c.streams {
		if s.sendWindow += by; s.sendWindow > maxWindow {
			return broken(FlowControlError, "an initial window that takes a stream's above the largest (RFC 9113 §6.9.2)")
		}
	}
	if by > 0 {
		c.handler.Window(nil)
	}
	return nil
}
