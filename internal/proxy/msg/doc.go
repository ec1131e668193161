// Package msg is the one representation of a message head for every codec,
// filter and matcher: [Head], a view into the bytes that came off the wire.
//
// Nothing is copied to read a head, and edits are patches: a field is marked
// as dropped, or added at the end in a scratch buffer of the Head. A writer
// copies the untouched runs in one piece. A Head is reused from exchange to
// exchange and dies with its exchange: who wants to keep a part of it copies.
package msg
