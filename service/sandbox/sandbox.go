package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// Options say what there is in the simulated Dashboard and how it misbehaves. The
// zero value has few organizations, the real limits, and no faults.
type Options struct {
	// How much there is: 3 organizations of 4 networks of 5 devices where 0;
	// none where negative. Ten thousand organizations cost nothing until asked for.
	Organizations, NetworksPerOrganization, DevicesPerNetwork int
	// Rows of a collection that is made up (not organizations, networks, devices);
	// 0: 3, and 7 to 12 where the collection is paginated.
	Rows int
	// Seed begins every made-up value, the jitter and the choice of faults.
	Seed uint64

	// Keys maps API keys to the organizations that they reach; an empty list
	// reaches all. nil: any key does.
	Keys map[string][]string
	// APIDisabled names organizations that have switched API access off.
	APIDisabled []string

	// LimitsOff answers everything that arrives. The statistics still hold it
	// against the budget.
	LimitsOff bool
	// OrgRate and OrgBurst are an organization's bucket (requests a second,
	// requests; 10 and 10 where 0), AddressRate a source address's (100; negative: none).
	OrgRate, OrgBurst, AddressRate float64

	// Jitter delays each request by a random time below it before it is counted
	// at a bucket, as a network does. Latency is how long an answer takes after.
	Jitter, Latency time.Duration
	// BatchTime is how long an action batch runs (2 s where 0), JobTime how long a
	// live tool or another job does (2 s where 0), DeleteTime how long deleting a
	// network takes, beside Latency (100 ms where 0; negative: no time). Times has
	// more of them, and changes them later.
	BatchTime, JobTime, DeleteTime time.Duration

	// Faults hit requests at random. Scripted ones are added later, see Script.
	Faults Mix
	// Shards are the schemes and hosts at which the organizations live, in turn. A
	// request for one that comes to another host is redirected there. Empty: all
	// live everywhere.
	Shards []string
	// Wire says where answers look as on the wire, and not as documented.
	Wire Wire
	// AnyPath answers paths that the contract does not know, as a store of JSON.
	AnyPath bool
	// AddressHeader names a header whose value stands for the source address, so
	// that replicas on one machine have addresses of their own. See HandlerAt, too.
	AddressHeader string
	// Shard is the scheme and host that a fault's redirect to a shard leads to. Where empty,
	// the same server under the other of its names, localhost or 127.0.0.1.
	Shard string
	// LinkRelations is how Link headers write their relations: bare, as documented
	// (where empty), "quoted", or "mixed", which differs from operation to operation.
	LinkRelations string
	// LinkBase is the scheme and host in Link headers; those of the request where empty.
	LinkBase string

	// Observe is called with every request when it arrives.
	Observe func(Arrival)
	// Now is the time; time.Now where nil.
	Now func() time.Time
}

// An Arrival is a request as it arrived.
type Arrival struct {
	Operation string // operationId; empty when there is none for the path
	Method    string
	Path      string // below /api/v1, as it was sent
	Query     string
	Header    http.Header // do not change
	Body      []byte      // do not change
	Time      time.Time
}

// A Sandbox is a simulated Dashboard. It starts no goroutines.
type Sandbox struct {
	opts      Options
	started   time.Time
	router    *router
	shapes    *document.Shapes
	inventory *inventory.Inventory
	store     *store
	cache     cache
	faults    *faults
	requests  requestLog
	disabled  map[string]bool
	allowed   map[string]map[string]bool // key -> organizations; nil value: all

	orgStates  sync.Map // organization number -> *account; -1: nobody's
	addresses  addresses
	agents     agents
	changes    changes
	own        bucketSet // buckets of operations with a limit of their own
	serial     atomic.Uint64
	effects    effects
	times      atomic.Pointer[Times]
	wire       atomic.Pointer[Wire]
	rejections rejections
	jobs       jobScripts
	// alone is locked for an effect, and read-locked for the execution of a request.
	alone  sync.RWMutex
	outage atomic.Int64 // until when, in Unix nanoseconds; everything fails

	randMu sync.Mutex
	random *rand.Rand
}

// New builds a simulated Dashboard that serves the operations of the contract.
func New(c *contract.Contract, opts Options) (*Sandbox, error) {
	if c == nil {
		return nil, errors.New("sandbox: no contract")
	}
	if opts.Jitter < 0 || opts.Latency < 0 || opts.OrgRate < 0 || opts.OrgBurst < 0 || opts.Rows < 0 {
		return nil, errors.New("sandbox: jitter, latency, rates and rows cannot be negative")
	}
	if opts.Rows > mostRows || opts.Organizations > mostOrganizations || opts.NetworksPerOrganization > mostRows || opts.DevicesPerNetwork > mostRows {
		return nil, errors.New("sandbox: the numbers are too large: at most 1,000,000 organizations, 100,000 networks each, 100,000 devices and rows each")
	}
	if l := opts.LinkRelations; l != "" && l != "quoted" && l != "mixed" {
		return nil, fmt.Errorf("sandbox: relations of links are quoted, mixed, or bare where empty, not %q", l)
	}
	if err := opts.Faults.check(); err != nil {
		return nil, err
	}
	opts.fill()
	s := &Sandbox{
		opts: opts, started: opts.Now(), router: newRouter(c),
		inventory: inventory.New(inventory.Layout{Orgs: opts.Organizations, Nets: opts.NetworksPerOrganization, Devs: opts.DevicesPerNetwork}),
		shapes:    document.NewShapes(),
		store:     newStore(),
		disabled:  make(map[string]bool), random: rand.New(rand.NewPCG(opts.Seed, 0x5eed)),
	}
	s.cache.init()
	s.SetTimes(opts.times())
	if err := s.SetWire(opts.Wire); err != nil {
		return nil, err
	}
	s.faults = newFaults(opts)
	for _, id := range opts.APIDisabled {
		s.disabled[id] = true
	}
	if opts.Keys != nil {
		s.allowed = make(map[string]map[string]bool, len(opts.Keys))
		for key, ids := range opts.Keys {
			var set map[string]bool
			for _, id := range ids {
				if set == nil {
					set = make(map[string]bool, len(ids))
				}
				set[id] = true
			}
			s.allowed[key] = set
		}
	}
	return s, nil
}

// times are the durations that hold at first. A synchronous batch has few
// actions, and is sooner done.
func (o *Options) times() Times {
	return Times{
		Latency: Duration(o.Latency), Jitter: Duration(o.Jitter), Batch: Duration(o.BatchTime), SynchronousBatch: Duration(o.BatchTime / 4),
		Job: Duration(o.JobTime), Delete: Duration(max(0, o.DeleteTime)),
	}
}

// Bounds of a layout: ids are arithmetic, and must not run into each other.
const (
	mostOrganizations = 1_000_000
	mostRows          = 100_000
)

func (o *Options) fill() {
	size := func(v *int, usual int) {
		if *v == 0 {
			*v = usual
		}
		*v = max(*v, 0)
	}
	size(&o.Organizations, 3)
	size(&o.NetworksPerOrganization, 4)
	size(&o.DevicesPerNetwork, 5)
	rate := func(v *float64, usual float64) {
		if *v == 0 {
			*v = usual
		}
	}
	rate(&o.OrgRate, 10)
	rate(&o.OrgBurst, 10)
	rate(&o.AddressRate, 100)
	if o.BatchTime == 0 {
		o.BatchTime = 2 * time.Second
	}
	if o.JobTime == 0 {
		o.JobTime = 2 * time.Second
	}
	if o.DeleteTime == 0 {
		o.DeleteTime = 100 * time.Millisecond
	}
	o.Shard = strings.TrimSuffix(o.Shard, "/")
	o.LinkBase = strings.TrimSuffix(o.LinkBase, "/")
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Handler serves the API below /api/v1 and the sandbox's own pages below /_sim.
func (s *Sandbox) Handler() http.Handler { return s.HandlerAt("") }

// HandlerAt serves the same; everything that arrives here comes from the source
// address of that name. Replicas behind one egress address are given the same.
func (s *Sandbox) HandlerAt(address string) http.Handler {
	control := s.control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		if rest, ok := strings.CutPrefix(path, "/api/v1"); ok && (rest == "" || rest[0] == '/' || rest != plainPath(rest)) {
			s.api(w, r, rest, address)
			return
		}
		if strings.HasPrefix(path, "/_sim") {
			control.ServeHTTP(w, r)
			return
		}
		write(w, pageNotFound(), s.requestID())
	})
}

// OrganizationID names organization i. Tests and benchmarks need ids without
// listing first.
func (s *Sandbox) OrganizationID(i int) string { return s.inventory.OrgID(i) }

// NetworkID names network n of organization i.
func (s *Sandbox) NetworkID(i, n int) string {
	return s.inventory.NetworkID(i*s.opts.NetworksPerOrganization + n)
}

// Serial names device d of network n of organization i.
func (s *Sandbox) Serial(i, n, d int) string {
	return s.inventory.Serial((i*s.opts.NetworksPerOrganization+n)*s.opts.DevicesPerNetwork + d)
}

// seed begins the values of the resource at a path.
func (s *Sandbox) seed(path string) uint64 { return document.Mix(document.Hash(path) ^ s.opts.Seed) }

// upTo draws a time below d.
func (s *Sandbox) upTo(d time.Duration) time.Duration {
	s.randMu.Lock()
	defer s.randMu.Unlock()
	return time.Duration(s.random.Int64N(int64(d)))
}
