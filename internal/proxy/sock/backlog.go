package sock

// Held says which processes hold a listening socket.
type Held uint8

const (
	// ByUs: only this process holds it.
	ByUs Held = iota
	// ByPerhapsOthers: another process may hold it too, such as a successor that is not
	// ready yet.
	ByPerhapsOthers
	// ByOthers: another process holds it and accepts its connections.
	ByOthers
)
