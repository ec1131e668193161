package reason

import "strings"

// Clip shortens a user's text to 60 bytes, so that it does not fill a message.
func Clip(text string) string { return ClipTo(text, 60) }

// ClipTo shortens a text to a number of bytes, and marks that it did.
func ClipTo(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
