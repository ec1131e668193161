package crd

import (
	"context"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Kind is one version of a custom kind. It is read-only and safe for
// concurrent use.
type Kind struct {
	// APIVersion is group/version, Name the kind.
	APIVersion, Name string
	// Cluster is set for kinds without a namespace.
	Cluster bool
	// Storage is set for the version that a cluster stores.
	Storage bool

	schema func() *compiledSchema
}

// compiledSchema is a schema in the three forms that an API server has of it.
type compiledSchema struct {
	structural *structuralschema.Structural
	openapi    *spec.Schema
	// rules tell whether one is broken, if judged is set; exact tells which, and
	// is compiled when that is first asked.
	rules  *rules
	judged bool
	exact  func() *cel.Validator
}

// compile makes the forms of a schema as an API server does. Nearly all of its
// time goes into the rules.
func compile(props *apiextensionsv1.JSONSchemaProps) *compiledSchema {
	internal := &apiextensions.JSONSchemaProps{}
	must(apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, internal, nil))
	structural, err := structuralschema.NewStructural(internal)
	must(err)
	structural = structural.DeepCopy()
	must(defaulting.PruneDefaults(structural))
	_, openapi, err := validation.NewSchemaValidator(internal)
	must(err)
	rooted := model.WithTypeAndObjectMeta(structural)
	rules, judged := compileRules(rooted, viewOf(rooted), model.SchemaDeclType(structural, true))
	return &compiledSchema{
		structural: structural, openapi: openapi,
		rules: rules, judged: judged,
		exact: sync.OnceValue(func() *cel.Validator { return cel.NewValidator(structural, true, celconfig.PerCallLimit) }),
	}
}

// MaxObjectBytes is how large an API server lets an object be.
const MaxObjectBytes = 3 << 20

// Admit does to object what an API server does when it is created in a
// namespace that exists: unknown fields and the status go, defaults come. It
// returns at most a number of problems, by path; with any, an API server would
// have refused the object. Metadata is the caller's to check.
//
// object is of the types that encoding/json makes, with integers as int64.
func (k *Kind) Admit(object map[string]any, most int) []Problem {
	if sizeOf(object, MaxObjectBytes) > MaxObjectBytes {
		return []Problem{tooLarge()}
	}
	s := k.schema()
	problems := unknownFields(s.prune(object))
	// A client's status does not count: an API server fills in a new one.
	delete(object, "status")
	defaulting.Default(object, s.structural)
	status, hasStatus := object["status"]
	delete(object, "status")
	problems = append(problems, problemsOf(s.validate(object), most)...)
	if hasStatus {
		object["status"] = status
	}
	return sorted(problems, most)
}

// Convert makes an object that was admitted by another version of the kind one
// of k, as an API server does where it has no conversion webhook.
func (k *Kind) Convert(object map[string]any) {
	object["apiVersion"] = k.APIVersion
	s := k.schema()
	s.prune(object)
	defaulting.Default(object, s.structural)
}

// prune removes what the schema does not have and returns the paths of it.
func (s *compiledSchema) prune(object map[string]any) (unknown []string) {
	unknown = pruning.PruneWithOptions(object, s.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	return unknown
}

// validate checks the schema, then the uniqueness of lists' items, then the
// rules. Rules are run only on objects of the right shape, and within the
// budget that an API server has for them.
func (s *compiledSchema) validate(object map[string]any) field.ErrorList {
	errs := validateSchema(s.openapi, object)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if blocks(errs) {
		return errs
	}
	budget := int64(celconfig.RuntimeCELCostBudget)
	if s.judged && s.rules.keeps(context.Background(), object, &budget) {
		return errs
	}
	broken, _ := s.exact().Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

// blocks reports whether an API server runs no rules after these errors.
func blocks(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}

// sizeOf is about how long value is as JSON. It stops soon after most.
func sizeOf(value any, most int) int {
	size := 8
	switch value := value.(type) {
	case string:
		size += len(value)
	case map[string]any:
		for key, child := range value {
			if size > most {
				break
			}
			size += len(key) + sizeOf(child, most-size)
		}
	case []any:
		for _, child := range value {
			if size > most {
				break
			}
			size += sizeOf(child, most-size)
		}
	}
	return size
}
