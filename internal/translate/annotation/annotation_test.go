package annotation

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/model"
)

func TestCompress(t *testing.T) {
	none, defaults := model.Compress{MinLength: 9}, model.Compress{Encodings: []string{"gzip"}, Types: []string{"text/css"}}
	tests := []struct {
		value    string // "" means that there is no annotation
		defaults model.Compress
		want     *model.Compress
		invalid  bool
	}{
		{"", none, nil, false},
		{"", defaults, &defaults, false},
		{"off", defaults, nil, false},
		{"on", none, &model.Compress{Encodings: []string{"zstd", "br", "gzip"}, MinLength: 9}, false},
		{" br , gzip ", defaults, &model.Compress{Encodings: []string{"br", "gzip"}, Types: []string{"text/css"}}, false},
		{"deflate", defaults, nil, true},
		{"gzip,gzip", defaults, nil, true},
		{"gzip,", defaults, nil, true},
		{" ", defaults, nil, true},
	}
	for _, tt := range tests {
		annotations := map[string]string{"other": "on"}
		if tt.value != "" {
			annotations[CompressName] = tt.value
		}
		got, err := Compress(annotations, tt.defaults)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != tt.invalid {
			t.Errorf("%q over %v: %v\n%s", tt.value, tt.defaults.Encodings, err, diff)
		}
	}
}
