package annotation

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/model"
)

func TestCompress(t *testing.T) {
	none, standard := model.Compress{MinLength: 9}, model.Compress{Encodings: []string{"gzip"}, Types: []string{"text/css"}}
	tests := []struct {
		value    string // "" is no annotation
		standard model.Compress
		want     *model.Compress
		invalid  bool
	}{
		{"", none, nil, false},
		{"", standard, &standard, false},
		{"off", standard, nil, false},
		{"on", none, &model.Compress{Encodings: []string{"zstd", "br", "gzip"}, MinLength: 9}, false},
		{" br , gzip ", standard, &model.Compress{Encodings: []string{"br", "gzip"}, Types: []string{"text/css"}}, false},
		{"deflate", standard, nil, true},
		{"gzip,gzip", standard, nil, true},
		{"gzip,", standard, nil, true},
		{" ", standard, nil, true},
	}
	for _, tt := range tests {
		annotations := map[string]string{"other": "on"}
		if tt.value != "" {
			annotations[CompressName] = tt.value
		}
		got, err := Compress(annotations, tt.standard)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != tt.invalid {
			t.Errorf("%q over %v: %v\n%s", tt.value, tt.standard.Encodings, err, diff)
		}
	}
}
