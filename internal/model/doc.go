// Package model is what the world should be, in Windrose's own terms: the
// [Snapshot].
//
// A Snapshot is frozen: sorted, hashed and never changed again. It is the
// semantic union of the dialects (what any of them can say, it can say) and
// holds no pointer to a Kubernetes object. It has three parts that change at
// different paces: configuration, endpoints and secrets. Origins, which say
// where each rule was written, stand beside them and outside the hashes: a new
// comment moves lines, not traffic.
//
// A Snapshot has a text form ([Format], [Parse]), one rule a line, without key
// material, and a wire form ([Encode], [Decode]), strict CBOR with integer
// keys. Translators build one with [Freeze], or with [Compose] of three parts
// that were frozen each on its own, so that a change of endpoints encodes and
// hashes no configuration; proxies compile it.
package model
