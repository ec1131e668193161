package sock

// Held says who holds a listening socket.
type Held uint8

const (
	// ByUs: this process alone.
	ByUs Held = iota
	// ByPerhapsOthers: another process may hold it too, such as a successor that is not
	// ready yet.
	ByPerhapsOthers
	// ByOthers: another process holds it and accepts what comes.
	ByOthers
)
