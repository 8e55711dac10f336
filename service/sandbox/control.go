package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Bounds of what POST /_sim/outside takes.
const (
	mostOutsideRate    = 1e6
	mostOutsideSeconds = 86400
)

// control serves the sandbox's own pages, which need no key and spend nothing.
func (s *Sandbox) control() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /_sim/{$}", s.help)
	m.HandleFunc("GET /_sim", s.help)
	m.HandleFunc("GET /_sim/stats", func(w http.ResponseWriter, r *http.Request) {
		if id := r.URL.Query().Get("organization"); id != "" {
			reply(w, s.statsOf(id, false))
			return
		}
		reply(w, s.Stats())
	})
	m.HandleFunc("GET /_sim/world", func(w http.ResponseWriter, r *http.Request) { reply(w, s.worldPage(r)) })
	m.HandleFunc("GET /_sim/executions", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Executions()) })
	m.HandleFunc("GET /_sim/requests", s.requestsPage)
	m.HandleFunc("POST /_sim/reset", func(w http.ResponseWriter, _ *http.Request) { s.Reset(); reply(w, ok{true}) })
	m.HandleFunc("POST /_sim/outside", command(s.outsidePage))
	m.HandleFunc("POST /_sim/outage", command(s.outagePage))
	m.HandleFunc("POST /_sim/faults", command(each(s.AddScript)))
	m.HandleFunc("PUT /_sim/faults", command(s.mixPage))
	m.HandleFunc("GET /_sim/times", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Times()) })
	m.HandleFunc("PUT /_sim/times", command(s.timesPage))
	m.HandleFunc("POST /_sim/rejections", command(each(s.AddRejection)))
	m.HandleFunc("DELETE /_sim/rejections", func(w http.ResponseWriter, _ *http.Request) { s.ClearRejections(); reply(w, ok{true}) })
	m.HandleFunc("POST /_sim/jobs", command(each(s.AddJobScript)))
	m.HandleFunc("DELETE /_sim/jobs", func(w http.ResponseWriter, _ *http.Request) { s.ClearJobScripts(); reply(w, ok{true}) })
	m.HandleFunc("GET /_sim/changes", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Changes()) })
	m.HandleFunc("POST /_sim/changes", command(each(s.AddChange)))
	m.HandleFunc("DELETE /_sim/changes", func(w http.ResponseWriter, _ *http.Request) { s.ClearChanges(); reply(w, ok{true}) })
	m.HandleFunc("PUT /_sim/wire", command(each(s.SetWire)))
	m.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { s.ClearFaults(); reply(w, ok{true}) })
	return m
}

type ok struct {
	OK bool `json:"ok"`
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client may have left
}

// command wraps what takes a JSON body and may refuse it.
func command(do func([]byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
		if err == nil {
			err = do(body)
		}
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {err.Error()}})
			return
		}
		reply(w, ok{true})
	}
}

func (s *Sandbox) help(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string]string{
		"GET /_sim/world":       "ids to ask for: organizations, with some networks and devices of each",
		"GET /_sim/stats":       "what arrived and how it was answered; ?organization=ID for one",
		"GET /_sim/requests":    "the last requests, newest first; ?limit=N",
		"GET /_sim/executions":  "writes that took effect, and how often",
		"POST /_sim/reset":      "forget everything, refill the buckets",
		"POST /_sim/outside":    `another application: {"organizationId":"...","rate":4,"seconds":60}`,
		"POST /_sim/outage":     `reset every connection: {"seconds":5}; 0 ends it`,
		"POST /_sim/faults":     `faults by script: {"path":"/networks/","faults":[{"kind":"status","status":502,"body":"html"}]}`,
		"PUT /_sim/faults":      `faults by rate: {"share":0.2}, with "kinds":[{"kind":"reset","after":true,"weight":1}] for some only, "transient":true for those that pass`,
		"DELETE /_sim/faults":   "no more faults",
		"PUT /_sim/wire":        `answers as on the wire, not as documented: {"shapes":true,"items":["getNetworkVlanProfiles"],"errors":["getNetworkAlertsHistory"]}`,
		"POST /_sim/changes":    `something changes without a request: {"path":"/networks/ID","body":{"name":"Branch {n}"},"in":"1s","every":"5s","times":10}; GET shows what has changed`,
		"PUT /_sim/times":       `how long things take: {"batch":"5s","job":"1s"}; GET shows all`,
		"POST /_sim/rejections": `writes that are refused for what they say: {"contains":"\"vlan\":4095","messages":["Vlan is invalid"]}; "atPost":true refuses a batch at once`,
		"POST /_sim/jobs":       `how jobs and batches go: {"operation":"createDeviceLiveToolsPing","time":"9s"}, "failed":"text", "error":"text" or "endless":true`,
	})
}

func (s *Sandbox) outsidePage(body []byte) error {
	var in struct {
		OrganizationID string  `json:"organizationId"`
		Rate           float64 `json:"rate"`
		Seconds        float64 `json:"seconds"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return errors.New(`sandbox: the body is {"organizationId":"...","rate":4,"seconds":60}`)
	}
	if !(in.Seconds > 0) || in.Seconds > mostOutsideSeconds {
		return errors.New("sandbox: seconds must be above 0 and at most 86400")
	}
	return s.Outside(in.OrganizationID, in.Rate, time.Duration(in.Seconds*float64(time.Second)))
}

// Outside lets another application take rate requests a second out of an
// organization's budget for a time.
func (s *Sandbox) Outside(organization string, rate float64, d time.Duration) error {
	p, found := s.inventory.Organization(organization)
	if !found {
		return errors.New("sandbox: there is no organization " + strconv.Quote(organization))
	}
	if !(rate >= 0) || rate > mostOutsideRate || d <= 0 {
		return errors.New("sandbox: the rate cannot be below 0 or above 1000000, and the time must be above 0")
	}
	s.outsider(p.Org, rate, d)
	return nil
}

func (s *Sandbox) outagePage(body []byte) error {
	var in struct {
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(body, &in); err != nil || !(in.Seconds >= 0) || in.Seconds > mostOutsideSeconds {
		return errors.New(`sandbox: the body is {"seconds":5}, 0 to 86400`)
	}
	s.Outage(time.Duration(in.Seconds * float64(time.Second)))
	return nil
}

// each reads one value or a list of them, and does something with each.
func each[T any](do func(T) error) func([]byte) error {
	return func(body []byte) error {
		list, err := oneOrMore[T](body)
		if err != nil {
			return err
		}
		for _, x := range list {
			if err := do(x); err != nil {
				return err
			}
		}
		return nil
	}
}

// oneOrMore reads one value or a list of them.
func oneOrMore[T any](body []byte) ([]T, error) {
	var list []T
	if err := json.Unmarshal(body, &list); err == nil {
		return list, nil
	}
	var one T
	if err := json.Unmarshal(body, &one); err != nil {
		return nil, fmt.Errorf("sandbox: the body cannot be read, see GET /_sim/ for examples: %w", err)
	}
	return []T{one}, nil
}

func (s *Sandbox) timesPage(body []byte) error {
	t := s.Times()
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("sandbox: the body is such as {\"batch\":\"5s\"}: %w", err)
	}
	s.SetTimes(t)
	return nil
}

func (s *Sandbox) mixPage(body []byte) error {
	var in struct {
		Share float64 `json:"share"`
		Kinds []struct {
			Fault
			Weight *float64 `json:"weight"`
		} `json:"kinds"`
		Transient bool `json:"transient"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return errors.New(`sandbox: the body is {"share":0.2,"kinds":[{"kind":"reset"}]}: ` + err.Error())
	}
	m := Mix{Share: in.Share}
	for _, k := range in.Kinds {
		w := 1.0
		if k.Weight != nil {
			w = *k.Weight
		}
		m.Kinds = append(m.Kinds, Weighted{k.Fault, w})
	}
	if in.Transient {
		m.Kinds = append(m.Kinds, Alike(TransientFaults())...)
	}
	return s.SetFaults(m)
}

// worldPage names some of what there is.
func (s *Sandbox) worldPage(r *http.Request) any {
	type network struct {
		ID      string   `json:"id"`
		Serials []string `json:"serials"`
	}
	type organization struct {
		ID       string    `json:"id"`
		Networks []network `json:"networks"`
	}
	most := limitOf(r, 10)
	out := []organization{}
	for _, i := range head(s.inventory.Organizations(), most) {
		o := organization{ID: s.inventory.OrgID(i), Networks: []network{}}
		for _, g := range head(s.inventory.Networks(i), most) {
			n := network{ID: s.inventory.NetworkID(g), Serials: []string{}}
			for _, d := range head(s.inventory.DevicesOfNetwork(g), most) {
				n.Serials = append(n.Serials, s.inventory.Serial(d))
			}
			o.Networks = append(o.Networks, n)
		}
		out = append(out, o)
	}
	return out
}

func (s *Sandbox) requestsPage(w http.ResponseWriter, r *http.Request) {
	type request struct {
		Time         time.Time `json:"time"`
		Organization string    `json:"organizationId,omitempty"`
		Operation    string    `json:"operation,omitempty"`
		Method       string    `json:"method"`
		Path         string    `json:"path"`
		Query        string    `json:"query,omitempty"`
		Status       int       `json:"status"`
	}
	out := []request{}
	for _, e := range s.requests.newest(func(*logged) bool { return true }, limitOf(r, 100)) {
		out = append(out, request{e.at, e.org, e.operation, e.method, e.path, e.query, e.status})
	}
	reply(w, out)
}

func limitOf(r *http.Request, usual int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && n > 0 {
		return n
	}
	return usual
}

func head(l []int, most int) []int { return l[:min(len(l), most)] }
