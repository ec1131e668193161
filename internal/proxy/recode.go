package proxy

import "windrose.dev/windrose/internal/proxy/exchange"

// recoded changes a part of a body, with out as the memory for it. The trailer
// of from is not looked at before the end: until then its reader may write it.
func recoded(r exchange.Recoder, out *[]byte, data []byte, last bool, from trailing) ([]byte, error) {
	if r == nil {
		return data, nil
	}
	var trailer []byte
	if last {
		trailer = from.trailer()
	}
	var err error
	*out, err = r.Recode((*out)[:0], data, last, trailer)
	return *out, err
}

// trailing is an end whose body may have lines behind it.
type trailing interface{ trailer() []byte }

// recodeAnswer changes a part of the answer's body.
func (t *transfer) recodeAnswer(data []byte, last bool) ([]byte, error) {
	return recoded(t.x.RecodeResponse, &t.recoded, data, last, t.up)
}

// recodeRequest changes a part of the request's body.
func (t *transfer) recodeRequest(out *[]byte, data []byte, last bool) ([]byte, error) {
	return recoded(t.x.RecodeRequest, out, data, last, t.client)
}

// requestTrailer are the lines behind the body of the request.
func (t *transfer) requestTrailer() []byte {
	if r := t.x.RecodeRequest; r != nil && r.TakesTrailer() {
		return nil
	}
	return t.client.trailer()
}

// answerTrailer are the lines behind the body of the answer.
func (t *transfer) answerTrailer() []byte {
	if t.up == nil {
		return nil
	}
	if r := t.x.RecodeResponse; r != nil && r.TakesTrailer() {
		return nil
	}
	return t.up.trailer()
}
