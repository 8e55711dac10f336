package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// ask sends a request to the sandbox, without a connection.
func ask(s *sandbox.Sandbox, method, path, body string) string {
	r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer any")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Body)
}

// An action batch is refused when it is posted, or fails when it runs; the clock
// is the test's own.
func ExampleSandbox_AddRejection() {
	c, err := contract.Load()
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	s, err := sandbox.New(c, sandbox.Options{Now: func() time.Time { return now }, BatchTime: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	if err := s.AddRejection(sandbox.Rejection{Contains: `"name":"taken"`}); err != nil {
		panic(err)
	}
	batches := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
	action := `{"resource":"/networks/` + s.NetworkID(0, 1) + `","operation":"update","body":{"name":"taken"}}`
	answer := ask(s, http.MethodPost, batches, `{"confirmed":true,"actions":[`+action+`]}`)
	fmt.Println(answer[:3])
	now = now.Add(10 * time.Second)
	var list []struct{ Status struct{ Errors []string } }
	if err := json.Unmarshal([]byte(ask(s, http.MethodGet, batches+"?status=failed", "")[4:]), &list); err != nil {
		panic(err)
	}
	fmt.Println(list[0].Status.Errors[0])
	// Output:
	// 201
	// Error occurred while executing update /networks/L_646829496481105434 with {"name":"taken"}: Validation failed: Name has already been taken
}

// Something changes by itself while a client watches.
func ExampleSandbox_AddChange() {
	c, err := contract.Load()
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	s, err := sandbox.New(c, sandbox.Options{Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	path := "/networks/" + s.NetworkID(0, 1)
	change := sandbox.Change{Path: path, Body: json.RawMessage(`{"name":"Branch {n}"}`), In: sandbox.Duration(time.Second), Every: sandbox.Duration(time.Second), Times: 2}
	if err := s.AddChange(change); err != nil {
		panic(err)
	}
	for range 3 {
		var network struct{ Name string }
		if err := json.Unmarshal([]byte(ask(s, http.MethodGet, path, "")[4:]), &network); err != nil {
			panic(err)
		}
		fmt.Println(network.Name)
		now = now.Add(time.Second)
	}
	// Output:
	// Branch 0002
	// Branch 1
	// Branch 2
}

// The same over HTTP, as with the sandbox that runs as a process of its own.
func ExampleSandbox_Handler() {
	c, err := contract.Load()
	if err != nil {
		panic(err)
	}
	s, err := sandbox.New(c, sandbox.Options{})
	if err != nil {
		panic(err)
	}
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	resp, err := srv.Client().Post(srv.URL+"/_sim/faults", "application/json",
		strings.NewReader(`{"path":"/networks/","faults":[{"kind":"status","status":502,"body":"html"}]}`))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(strings.Join(strings.Fields(string(body)), ""), ask(s, http.MethodGet, "/networks/"+s.NetworkID(0, 0), "")[:3])
	// Output:
	// {"ok":true} 502
}
