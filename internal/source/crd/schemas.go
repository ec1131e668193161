package crd

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

//go:embed schemas
var files embed.FS

// definition is a CustomResourceDefinition as gen writes it. Its schemas stay
// text until one is used.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Scope    string              `json:"scope"`
		Versions []definitionVersion `json:"versions"`
	} `json:"spec"`
}

type definitionVersion struct {
	Name    string `json:"name"`
	Served  bool   `json:"served"`
	Storage bool   `json:"storage"`
	Schema  struct {
		OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
	} `json:"schema"`
}

func (v *definitionVersion) text() []byte { return v.Schema.OpenAPIV3Schema }

// parse reads the schema. It panics on a broken one: all are part of the
// program, and tested.
func (v *definitionVersion) parse() *apiextensionsv1.JSONSchemaProps {
	props := &apiextensionsv1.JSONSchemaProps{}
	must(json.Unmarshal(v.text(), props))
	return props
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("crd: a definition that is part of the program is broken: %v", err))
	}
}

// groupKind names a definition.
type groupKind struct{ group, kind string }

// catalog is the definitions by name, each read on its first use.
var catalog = sync.OnceValue(func() map[groupKind]func() map[string]*Kind {
	entries, err := files.ReadDir("schemas")
	must(err)
	all := make(map[groupKind]func() map[string]*Kind, len(entries))
	for _, entry := range entries {
		kind, group, _ := strings.Cut(strings.TrimSuffix(entry.Name(), ".json.gz"), ".")
		all[groupKind{group, kind}] = sync.OnceValue(func() map[string]*Kind {
			return kindsOf(readDefinition("schemas/" + entry.Name()))
		})
	}
	return all
})

func readDefinition(path string) *definition {
	packed, err := files.ReadFile(path)
	must(err)
	r, err := gzip.NewReader(bytes.NewReader(packed))
	must(err)
	text, err := io.ReadAll(r)
	must(err)
	d := &definition{}
	must(json.Unmarshal(text, d))
	return d
}

// kindsOf returns the served versions of a definition by name. Versions with
// one and the same schema share what is compiled from it.
func kindsOf(d *definition) map[string]*Kind {
	compiled := map[string]func() *compiledSchema{}
	kinds := map[string]*Kind{}
	for _, v := range d.Spec.Versions {
		if !v.Served {
			continue
		}
		text := string(v.text())
		if compiled[text] == nil {
			compiled[text] = sync.OnceValue(func() *compiledSchema { return compile(v.parse()) })
		}
		kinds[v.Name] = &Kind{
			APIVersion: d.Spec.Group + "/" + v.Name,
			Name:       d.Spec.Names.Kind,
			Cluster:    d.Spec.Scope == string(apiextensionsv1.ClusterScoped),
			Storage:    v.Storage,
			schema:     compiled[text],
		}
	}
	return kinds
}

// Find returns the kind of that name as apiVersion has it, or nil if it is not
// served. It is safe for concurrent use.
func Find(apiVersion, kind string) *Kind {
	group, version, _ := strings.Cut(apiVersion, "/")
	definition := catalog()[groupKind{group, kind}]
	if definition == nil {
		return nil
	}
	return definition()[version]
}

// Versions returns the apiVersions in which the kind of that name is served,
// without order.
func Versions(group, kind string) []string {
	var versions []string
	if definition := catalog()[groupKind{group, kind}]; definition != nil {
		for _, k := range definition() {
			versions = append(versions, k.APIVersion)
		}
	}
	return versions
}
