package service_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/merakibroker/merakibroker/"

// allowed says, for each room, which of our own rooms it may import; a room
// below another ("ratelimit/redis") has a row of its own. Packages under gen/
// are data: every room but fault and ratelimit may read them.
var allowed = map[string][]string{
	"service": {"service/access", "service/audit", "service/batch", "service/outcome", "service/broker", "service/contract", "service/credential", "service/dashboard", "service/fault", "service/hold",
		"service/identity", "service/lane", "service/record", "service/transcode", "service/usage", "service/watch", "ratelimit", "gen"},
	"service/access":   {"service/audit", "service/broker", "service/contract", "service/contract/canonical", "service/credential", "service/dashboard", "service/fault", "service/identity", "ratelimit", "gen"},
	"service/admin":    {"service/identity"},
	"service/audit":    {"service/fault"},
	"service/batch":    {"service/access", "service/audit", "service/broker", "service/contract", "service/contract/canonical", "service/dashboard", "service/fault", "service/hold", "service/outcome", "gen"},
	"service/broker":   {"service/audit", "service/dashboard", "service/fault", "service/hold", "service/lane", "service/owner", "service/record", "service/usage", "ratelimit", "gen"},
	"service/contract": {"service/contract/canonical", "gen"},
	// The one form of a path: what makes paths and what reads them, above and below.
	"service/contract/canonical": {},
	// A list of callers is read in one way, whoever writes it: identity.Names.
	"service/credential":            {"service/credential/secretfile", "service/dashboard", "service/fault", "service/identity", "service/setting", "gen"},
	"service/credential/secretfile": {},
	"service/dashboard":             {"service/contract/canonical", "service/fault", "gen"},
	"service/fault":                 {},
	"service/hold":                  {"service/fault"},
	"service/identity":              {"service/credential/secretfile", "service/fault", "service/setting", "gen"},
	"service/proxyless":             {},
	"service/lane":                  {"service/fault", "ratelimit", "gen"},
	"service/owner":                 {"service/fault"},
	"service/page":                  {"service/fault", "gen"},
	"service/record":                {"service/fault"},
	"service/outcome":               {"service/broker", "service/fault", "gen"},
	"service/rest":                  {"service/access", "service/audit", "service/broker", "service/contract", "service/fault", "service/identity", "service/outcome", "gen"},
	"service/sandbox":               {"service/contract", "service/sandbox/document", "service/sandbox/inventory", "service/sandbox/wireshape", "gen"},
	"service/sandbox/document":      {"service/sandbox/inventory", "gen"},
	"service/sandbox/inventory":     {},
	"service/sandbox/wireshape":     {},
	// What is wrong with a configuration, by key: rooms tell it of their own part.
	"service/setting":         {},
	"service/telemetry":       {"service/setting"},
	"service/transcode":       {"service/contract/canonical", "service/fault", "gen"},
	"service/usage":           {},
	"service/watch":           {"service/broker", "service/dashboard", "service/fault", "service/hold", "service/transcode", "ratelimit", "gen"},
	"ratelimit":               {},
	"ratelimit/ratelimittest": {"ratelimit"},
	"ratelimit/redis":         {"ratelimit"},
	// Tests alone, and what says so.
	"deploy/mesh":             {},
	"deploy/page":             {},
	"deploy/rest":             {},
	"service/store":           {},
	"service/store/storetest": {},
}

// A source is one Go file of ours, parsed.
type source struct {
	room, file string
	test       bool
	text       []byte
	ast        *ast.File
}

// bubble tells a test on synthetic time, where sleeping is how time goes by.
func (s source) bubble() bool {
	for _, imp := range s.ast.Imports {
		if imp.Path.Value == `"testing/synctest"` {
			return true
		}
	}
	return false
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	root := ".."
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if d.IsDir() && (rel == "gen" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{
			room: path.Dir(filepath.ToSlash(rel)), file: filepath.ToSlash(rel),
			test: strings.HasSuffix(name, "_test.go"), text: text, ast: parsed,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found only %d files; the walk is broken", len(all))
	}
	return all
}

// TestArrows holds the direction of imports: cmd -> service -> rooms below.
func TestArrows(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "cmd") || strings.HasPrefix(s.room, "examples") {
			continue
		}
		may, known := allowed[s.room]
		if !known {
			t.Errorf("%s: the room %s has no row in the table of imports; add one that says what it may see", s.file, s.room)
			continue
		}
		for _, imp := range s.ast.Imports {
			name := strings.Trim(imp.Path.Value, `"`)
			ours, ok := strings.CutPrefix(name, module)
			if !ok {
				continue
			}
			if !permitted(may, ours) {
				t.Errorf("%s imports %s, which %s may not", s.file, ours, s.room)
			}
		}
	}
}

func permitted(may []string, room string) bool {
	for _, m := range may {
		if room == m || m == "gen" && strings.HasPrefix(room, "gen/") {
			return true
		}
	}
	return false
}

// TestStoreClientStaysInItsRoom: two rooms know the Redis client.
func TestStoreClientStaysInItsRoom(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.ast.Imports {
			if strings.Contains(imp.Path.Value, "go-redis") && s.room != "ratelimit/redis" && !strings.HasPrefix(s.room, "service/store") {
				t.Errorf("%s imports the store's client; only service/store, which makes the connections, and ratelimit/redis may", s.file)
			}
		}
	}
}

// clientSide are the names of net/http and its neighbours that make requests or carry them.
var clientSide = map[string][]string{
	"net/http": {"Client", "Transport", "RoundTripper", "DefaultClient", "DefaultTransport", "NewRequest", "NewRequestWithContext",
		"Get", "Head", "Post", "PostForm", "ReadResponse", "NewFileTransport", "NewFileTransportFS"},
	"net/http/httputil":      {"ReverseProxy", "NewSingleHostReverseProxy", "ClientConn", "NewClientConn", "ProxyRequest"},
	"golang.org/x/net/http2": {"Transport", "ClientConn", "ConfigureTransport", "ConfigureTransports"},
	"net":                    {"Dial", "DialTimeout", "DialTCP", "Dialer"},
	"crypto/tls":             {"Dial", "DialWithDialer", "Dialer", "Client"},
}

// TestOneWayOut: requests leave through service/dashboard, where an attempt has been
// paid for. The keys of a token's issuer are fetched by service/identity; what the
// store, telemetry and a control plane are reached with is in their libraries.
// The programs beside merakid are no part of the broker.
func TestOneWayOut(t *testing.T) {
	may := map[string]bool{"service/identity/keysource.go": true, "service/identity/resolver.go": true}
	found := 0
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.room, "service") && !strings.HasPrefix(s.room, "ratelimit") && s.room != "cmd/merakid" {
			continue
		}
		for _, use := range s.uses(clientSide) {
			switch {
			case s.room == "service/dashboard":
				found++
			case !may[s.file]:
				t.Errorf("%s uses %s; requests leave through service/dashboard only", s.file, use)
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d uses in service/dashboard, which makes all attempts; the search is broken", found)
	}
}

// uses are the names that s uses of those packages, by whatever name it imports them.
func (s source) uses(of map[string][]string) (found []string) {
	imported := make(map[string]string) // path by name
	for _, imp := range s.ast.Imports {
		name := strings.Trim(imp.Path.Value, `"`)
		as := path.Base(name)
		if imp.Name != nil {
			as = imp.Name.Name
		}
		if _, ok := of[name]; ok && as == "." {
			found = append(found, "everything of "+name)
		}
		imported[as] = name
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if e, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := e.X.(*ast.Ident); ok && slices.Contains(of[imported[x.Name]], e.Sel.Name) {
				found = append(found, imported[x.Name]+"."+e.Sel.Name)
			}
		}
		return true
	})
	return found
}

// TestCodesStandInOneFile: what a failure is to a gRPC caller is decided in
// service/status.go. Programs are clients of the broker, and read codes.
func TestCodesStandInOneFile(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.file == "service/status.go" || strings.HasPrefix(s.room, "cmd/") || strings.HasPrefix(s.room, "examples/") {
			continue
		}
		for _, imp := range s.ast.Imports {
			if imp.Path.Value == `"google.golang.org/grpc/codes"` {
				t.Errorf("%s imports gRPC's codes; only service/status.go may", s.file)
			}
		}
	}
}

// TestHouseRules: one package comment each, files of a human size, and none of
// what makes tests slow, flaky or silent.
func TestHouseRules(t *testing.T) {
	comments := make(map[string]int)
	rooms := make(map[string]bool)
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > 450 {
			t.Errorf("%s has %d lines; one that passes 450 wants to be two", s.file, n)
		}
		if !s.test {
			rooms[s.room] = true
			if s.ast.Doc != nil {
				comments[s.room]++
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s has an init function; wire in main", s.file)
				}
			case *ast.SelectorExpr:
				x, _ := n.X.(*ast.Ident)
				if x == nil {
					break
				}
				switch call := x.Name + "." + n.Sel.Name; {
				case s.test && call == "time.Sleep" && !s.bubble(), s.test && strings.HasPrefix(call, "t.Skip"):
					t.Errorf("%s uses %s", s.file, call)
				case !s.test && strings.HasPrefix(call, "log.Fatal"):
					t.Errorf("%s uses %s", s.file, call)
				}
			}
			return true
		})
	}
	for room := range rooms {
		if comments[room] != 1 {
			t.Errorf("%s has %d package comments; it needs one, which says what the room is for", room, comments[room])
		}
	}
}

// TestPromisesAreTested: every bound of docs/bounds.md and every rule of docs/rest.md
// names tests, and all of them are there.
func TestPromisesAreTested(t *testing.T) {
	tests := make(map[string]bool)
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test {
				tests[f.Name.Name] = true
			}
		}
	}
	for _, page := range []struct {
		file, from string // the heading of the table that is meant
		rows       int
	}{{"bounds.md", "# What callers", 10}, {"rest.md", "## Rules", 14}} {
		text, err := os.ReadFile("../docs/" + page.file)
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(text), page.from)
		rows := 0
		for line := range strings.Lines(table) {
			if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| tests |") {
				continue
			}
			rows++
			named := 0
			for i, part := range strings.Split(line, "`") {
				if i%2 == 1 && strings.HasPrefix(part, "Test") {
					if named++; !tests[part] {
						t.Errorf("there is no %s, which is to hold: %s", part, line)
					}
				}
			}
			if named == 0 {
				t.Errorf("no test holds: %s", line)
			}
		}
		if rows < page.rows {
			t.Errorf("%s: found only %d rows", page.file, rows)
		}
	}
}
