package exchange

// Recoder changes a body as it passes. A filter sets one on an Exchange that
// needs it; it belongs to that Exchange alone.
type Recoder interface {
	// Recode appends what data becomes to dst. It is called for each read, which
	// takes all that has come. last tells that the body ends with data, and trailer
	// are the lines behind it then. What is returned may be written at once, and be
	// nothing. An error breaks the body off.
	Recode(dst, data []byte, last bool, trailer []byte) ([]byte, error)
	// TakesTrailer tells that the trailer section becomes a part of the body.
	TakesTrailer() bool
	// Close gives back what it holds, whether the body has ended or not.
	Close()
}

// closeRecoders ends what changes the bodies.
func (x *Exchange) closeRecoders() {
	for _, r := range [...]Recoder{x.RecodeRequest, x.RecodeResponse} {
		if r != nil {
			r.Close()
		}
	}
}
