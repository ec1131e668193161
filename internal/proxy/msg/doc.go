// Package msg is the one representation of a message head for all codecs, filters and
// matchers: [Head], a view into the bytes that were received.
//
// Reading a head copies nothing, and edits are patches: a field is marked as dropped,
// or added in a scratch buffer of the Head. A writer copies each untouched run of
// fields in one piece. A Head is reused for other exchanges: it is valid as long as its
// exchange, and whoever wants to keep a part of it must copy that.
package msg
