package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Mutant is a file with one change.
type Mutant struct {
	File string
	Line int
	// Old and New are the line that was changed, or its beginning, without the space
	// around it.
	Old, New string
	Text     []byte
}

// Room is the package's folder.
func (m Mutant) Room() string { return path.Dir(m.File) }

// String says what was changed. It has no number of a line: a list of mutants lives
// through other changes of the file.
func (m Mutant) String() string { return fmt.Sprintf("%s: %s => %s", m.File, m.Old, m.New) }

// swapped are operators that are easily taken one for the other.
var swapped = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL,
}

// words are names that stand for another value.
var words = map[string]string{"true": "false", "false": "true", "min": "max", "max": "min"}

// Mutants gives all changes of a file: operators swapped, conditions negated, statements
// dropped, numbers one higher, true for false, min for max.
func Mutants(file string, text []byte) ([]Mutant, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	w := walk{file: file, text: text, fset: fset}
	ast.Inspect(f, w.visit)
	return w.found, nil
}

// A walk collects the mutants of a file.
type walk struct {
	file  string
	text  []byte
	fset  *token.FileSet
	found []Mutant
}

// visit looks at one node, and says whether to look into it.
func (w *walk) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.Field, *ast.TypeSpec:
		return false // no code
	case *ast.CallExpr:
		if logs(n) {
			return false // what is logged is for people
		}
	case *ast.BinaryExpr:
		if to, ok := swapped[n.Op]; ok && !texts(n) {
			w.change(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), to.String())
		}
	case *ast.IfStmt:
		w.change(n.Cond.Pos(), n.Cond.End(), "!("+w.source(n.Cond)+")")
	case *ast.Ident:
		if to, ok := words[n.Name]; ok {
			w.change(n.Pos(), n.End(), to)
		}
	case *ast.BasicLit:
		if i, err := strconv.Atoi(n.Value); n.Kind == token.INT && err == nil {
			w.change(n.Pos(), n.End(), strconv.Itoa(i+1))
		}
	case *ast.BlockStmt:
		w.drop(n.List)
	case *ast.CaseClause:
		w.drop(n.Body)
	case *ast.CommClause:
		w.drop(n.Body)
	}
	return true
}

// drop leaves out one statement after the other that does something and declares
// nothing.
func (w *walk) drop(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok && logs(call) {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || blank(s.Lhs) {
				continue
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt, *ast.BranchStmt:
		case *ast.ReturnStmt:
			if len(s.Results) > 0 {
				continue // does not compile in most places
			}
		default:
			continue
		}
		w.change(s.Pos(), s.End(), "")
	}
}

// change adds a mutant with other text between two places.
func (w *walk) change(from, to token.Pos, with string) {
	start, end := w.fset.Position(from).Offset, w.fset.Position(to).Offset
	text := slices.Concat(w.text[:start], []byte(with), w.text[end:])
	line := w.fset.Position(from).Line
	first := strings.LastIndexByte(string(w.text[:start]), '\n') + 1
	w.found = append(w.found, Mutant{
		File: w.file, Line: line, Old: lineAt(w.text, first), New: strings.TrimSpace(lineAt(text, first)), Text: text,
	})
}

func (w *walk) source(n ast.Node) string {
	return string(w.text[w.fset.Position(n.Pos()).Offset:w.fset.Position(n.End()).Offset])
}

// lineAt is the line that begins at an offset, without the space around it.
func lineAt(text []byte, offset int) string {
	line, _, _ := strings.Cut(string(text[offset:]), "\n")
	return strings.TrimSpace(line)
}

// logs tells a call of a logger.
func logs(c *ast.CallExpr) bool {
	f, ok := c.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "LogAttrs"}, f.Sel.Name)
}

// texts tells a sum of texts, in which a minus means nothing.
func texts(b *ast.BinaryExpr) bool {
	for _, side := range []ast.Expr{b.X, b.Y} {
		switch s := side.(type) {
		case *ast.BasicLit:
			if s.Kind == token.STRING && b.Op == token.ADD {
				return true
			}
		case *ast.BinaryExpr:
			if b.Op == token.ADD && texts(s) {
				return true
			}
		}
	}
	return false
}

func blank(list []ast.Expr) bool {
	return !slices.ContainsFunc(list, func(e ast.Expr) bool {
		name, ok := e.(*ast.Ident)
		return !ok || name.Name != "_"
	})
}
