// Package identity says who a workload or a peer is: SPIFFE IDs, and what a verified
// certificate says of its holder.
//
// Everything here is a value. An [ID] is compared as a whole; a [Peer] is made from a
// certificate that somebody has verified, and says nothing of one that nobody has.
// Who is let in is for package policy to say.
package identity
