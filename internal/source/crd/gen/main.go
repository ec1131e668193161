// Command gen copies the definitions of the Gateway API's kinds from its
// module into internal/source/crd/schemas, one compressed file a kind. It leaves
// out what decides nothing: descriptions, columns for printing, status.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// plurals are the kinds that Windrose reads.
var plurals = []string{
	"backendtlspolicies", "gatewayclasses", "gateways", "grpcroutes", "httproutes",
	"listenersets", "referencegrants", "tcproutes", "tlsroutes", "udproutes",
}

func main() {
	definitions, err := fromModule()
	for name, definition := range definitions {
		if err == nil {
			err = write(filepath.Join("schemas", name), definition)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

// fromModule returns the definitions of the module that go.mod names, by the
// name of their file.
func fromModule() (map[string][]byte, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the Gateway API's module: %w", err)
	}
	definitions := map[string][]byte{}
	for _, plural := range plurals {
		path := filepath.Join(strings.TrimSpace(string(out)), "config/crd/experimental/gateway.networking.k8s.io_"+plural+".yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, definition, err := shorten(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		definitions[name] = definition
	}
	return definitions, nil
}

// shorten returns a definition as JSON without what decides nothing, and the
// name of its file.
func shorten(text []byte) (name string, definition []byte, err error) {
	var object struct {
		Spec struct {
			Group string `json:"group"`
			Names struct {
				Kind string `json:"kind"`
			} `json:"names"`
			Scope    string `json:"scope"`
			Versions []struct {
				Name    string         `json:"name"`
				Served  bool           `json:"served"`
				Storage bool           `json:"storage"`
				Schema  map[string]any `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		return "", nil, err
	}
	for _, version := range object.Spec.Versions {
		dropDescriptions(version.Schema)
	}
	definition, err = json.Marshal(object)
	return object.Spec.Names.Kind + "." + object.Spec.Group + ".json.gz", definition, err
}

// dropDescriptions removes the texts named description. A property of that
// name is a schema and not a text.
func dropDescriptions(value any) {
	switch value := value.(type) {
	case map[string]any:
		if _, isText := value["description"].(string); isText {
			delete(value, "description")
		}
		for _, child := range value {
			dropDescriptions(child)
		}
	case []any:
		for _, child := range value {
			dropDescriptions(child)
		}
	}
}

func write(path string, content []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, packed.Bytes(), 0o644)
}

// read returns what write wrote.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
