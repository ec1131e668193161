// Package model holds the [Snapshot]: what the world should be, in Windrose's own terms.
//
// A Snapshot is frozen: sorted, hashed and never changed again. It is the semantic union
// of the dialects (it can express whatever any of them can) and holds no pointer to a
// Kubernetes object. It has three parts that change at different rates: configuration,
// endpoints and secrets. Origins, which say where each rule was written, stand beside
// them and outside the hashes: a new comment moves lines, not traffic.
//
// A Snapshot has a text form ([Format], [Parse]), one rule a line, without key material,
// and a wire form ([Encode], [Decode]), strict CBOR with integer keys. Translators build
// a Snapshot with [Freeze]. They can also freeze the three parts separately and join them
// with [Compose], so that a change of endpoints encodes and hashes no configuration.
// Proxies compile a Snapshot.
package model
