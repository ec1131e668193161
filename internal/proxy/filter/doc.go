// Package filter has what rules do to requests and responses besides choosing a
// backend, with one file per filter. [Table] gives their order; a main passes it, or a
// part of it, to the engine. A rule that needs a filter which is not in its proxy's
// table is closed, never served without it.
package filter
