package crd

import (
	"context"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
)

// rules are the compiled rules of a schema and of what is below it. They tell
// only whether an object keeps all of them, which nearly all objects do; what
// is wrong with the others is for the API server's own validator to say. That
// one makes a map of a schema's properties whenever a rule reads a field, and
// so takes several times as long.
type rules struct {
	programs []celgo.Program
	schema   common.Schema

	items, additional *rules
	properties        map[string]*rules
}

// compileRules compiles the rules of a schema, of which v is the view. ok is
// false where there is one that only the API server's validator can judge.
func compileRules(s *structuralschema.Structural, v *view, declType *apiservercel.DeclType) (r *rules, ok bool) {
	if s.ValueValidation != nil && len(s.ValueValidation.AllOf) > 0 {
		return nil, false
	}
	if declType == nil {
		return nil, !hasRules(s)
	}
	r, ok = &rules{schema: v}, true
	if r.programs, ok = programsOf(s, declType); !ok {
		return nil, false
	}
	below := func(child *structuralschema.Structural, v common.Schema, declType *apiservercel.DeclType) *rules {
		compiled, fine := compileRules(child, v.(*view), declType)
		ok = ok && fine
		return compiled
	}
	if s.Items != nil {
		r.items = below(s.Items, v.items, declType.ElemType)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		r.additional = below(s.AdditionalProperties.Structural, v.additional.Schema(), declType.ElemType)
	}
	r.properties = map[string]*rules{}
	for name, property := range s.Properties {
		if compiled := below(&property, v.properties[name], typeOf(declType, name)); compiled != nil {
			r.properties[name] = compiled
		}
	}
	return r.orNil(), ok
}

// programsOf compiles the rules of s itself. Those about changes are left out:
// nothing here has an old version.
func programsOf(s *structuralschema.Structural, declType *apiservercel.DeclType) (programs []celgo.Program, ok bool) {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	compiled, err := cel.Compile(s, declType, celconfig.PerCallLimit, base, cel.StoredExpressionsEnvLoader())
	if err != nil {
		return nil, false
	}
	for i, rule := range compiled {
		optional := s.XValidations[i].OptionalOldSelf
		if rule.Error != nil || rule.Program == nil || optional != nil && *optional {
			return nil, false
		}
		if !rule.UsesOldSelf {
			programs = append(programs, rule.Program)
		}
	}
	return programs, true
}

// orNil drops rules that are none.
func (r *rules) orNil() *rules {
	if len(r.programs) == 0 && r.items == nil && r.additional == nil && len(r.properties) == 0 {
		return nil
	}
	return r
}

// typeOf is the type of a property, or nil if rules cannot name it.
func typeOf(declType *apiservercel.DeclType, property string) *apiservercel.DeclType {
	escaped, ok := apiservercel.Escape(property)
	if !ok || declType.Fields[escaped] == nil {
		return nil
	}
	return declType.Fields[escaped].Type
}

// hasRules reports whether there is a rule in s or below it.
func hasRules(s *structuralschema.Structural) bool {
	return cel.NewValidator(s, false, celconfig.PerCallLimit) != nil
}

// keeps reports whether value keeps all rules within the budget, from which it
// takes what they cost.
func (r *rules) keeps(ctx context.Context, value any, budget *int64) bool {
	if r == nil || value == nil {
		return true
	}
	if len(r.programs) > 0 && !r.evaluate(ctx, value, budget) {
		return false
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if !r.items.keeps(ctx, item, budget) {
				return false
			}
		}
	case map[string]any:
		for key, child := range value {
			if !r.additional.keeps(ctx, child, budget) || !r.properties[key].keeps(ctx, child, budget) {
				return false
			}
		}
	}
	return true
}

func (r *rules) evaluate(ctx context.Context, value any, budget *int64) bool {
	self := self{common.UnstructuredToVal(value, r.schema)}
	for _, program := range r.programs {
		result, details, err := program.ContextEval(ctx, self)
		if err != nil || result != types.True || details == nil || details.ActualCost() == nil {
			return false
		}
		*budget -= int64(min(*details.ActualCost(), celconfig.RuntimeCELCostBudget))
		if *budget < 0 {
			return false
		}
	}
	return true
}

// self is what a rule can name: the value under the schema that has the rule.
type self struct{ value ref.Val }

func (s self) ResolveName(name string) (any, bool) {
	if name == cel.ScopedVarName {
		return s.value, true
	}
	return nil, false
}

func (self) Parent() interpreter.Activation { return nil }

// view is a schema as rules see it, with its parts at hand.
type view struct {
	*model.Structural
	items      common.Schema
	properties map[string]common.Schema
	additional common.SchemaOrBool
}

func viewOf(s *structuralschema.Structural) *view {
	v := &view{Structural: &model.Structural{Structural: s}}
	if s.Items != nil {
		v.items = viewOf(s.Items)
	}
	if s.Properties != nil {
		v.properties = make(map[string]common.Schema, len(s.Properties))
	}
	for name, property := range s.Properties {
		v.properties[name] = viewOf(&property)
	}
	if s.AdditionalProperties != nil {
		v.additional = additionalView(s.AdditionalProperties)
	}
	return v
}

func (v *view) Items() common.Schema                      { return v.items }
func (v *view) Properties() map[string]common.Schema      { return v.properties }
func (v *view) AdditionalProperties() common.SchemaOrBool { return v.additional }

// anyView is the view of properties without names.
type anyView struct {
	*model.StructuralOrBool
	schema common.Schema
}

func additionalView(s *structuralschema.StructuralOrBool) anyView {
	v := anyView{StructuralOrBool: &model.StructuralOrBool{StructuralOrBool: s}}
	if s.Structural != nil {
		v.schema = viewOf(s.Structural)
	}
	return v
}

func (v anyView) Schema() common.Schema { return v.schema }
