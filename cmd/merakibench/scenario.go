package main

import "context"

// A scenario is one question about the broker, asked under stated conditions.
type scenario struct {
	name  string
	about string // one sentence: what is offered, and what it is to show
	// run answers the question: it gives its figures to r, returns when ctx ends or
	// it is done, and leaves nothing running that r does not know of.
	run func(ctx context.Context, r *run) error
}

// overTLS is a scenario whose mirrors speak TLS, as the Dashboard does.
func overTLS(do func(context.Context, *run) error) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.secure = true
		return do(ctx, r)
	}
}

// scenarios lists all there are, in the order of the page.
func scenarios() []scenario {
	return []scenario{
		{"one-replica", "One replica and one organization, asked for twice its budget: all of the budget is used, and never more.", oneReplica},
		{"three-replicas", "Three replicas share one budget through Redis, asked for twice of it, 80/10/10: all of it is used, at few round trips to the store.", threeReplicas},
		{"fairness", "A asks three replicas for 20/s, B one for 8/s, C one for 0.5/s, with equal weights: A and B get the same, C all it asks for.", fairness},
		{"overload", "1.2 times the budget for five minutes at normal priority: short waits for the served, and for the refused a delay that holds.", overload},
		{"outside-application", "Another application takes 4/s of the budget for a minute: the broker gives way soon, and takes it back soon.", outside},
		{"elephant-and-mouse", "One caller has 500 calls waiting, one makes a call every 2 s; then two callers have weights 3 and 1: each gets its part.", elephantAndMouse},
		{"priorities", "Bulk asks for twelve times the budget while 5 critical calls a second come: these are answered in time.", priorities},
		{"deadlines", "Bulk asks for three times the budget with deadlines of 5 s: what gets a slot is answered in time, the rest is refused at once.", deadlines},
		{"egress", "Three replicas behind one address, asked for 130/s of twelve organizations, 80/10/10: one budget for the egress beside static thirds, and the store killed meanwhile.", egress},
		{"store-lost", "The store of three replicas is killed and started again, empty: never over the budget, and no call waits for it.", storeLost},
		{"watch", "200 watchers of the same 500 devices at three replicas: one poll in an age for all of them, also when the store or the replica that polls is killed.", watch},
		{"pollers", "Ten services poll ten lists every 5 s: as they are, as reads with max-age, as watches.", pollers},
		{"python-side-by-side", "Eight processes of the vendor's Python library straight at the Dashboard, against eight Python gRPC clients through the broker: the same reads of one organization.", pythonSideBySide},
		{"rest-together", "Three processes of the vendor's Python library straight at the Dashboard and five Python gRPC clients through the broker, against all eight through the broker.", together},
		{"rest", "100 requests a second over REST, limits off: what the face adds to asking the sandbox directly, beside a plain proxy in Go.", restFace},
		{"admission", "What the decision costs when nobody waits, and what an idle organization takes of memory.", admission},
		{"small-calls", "Reads of one device as fast as they come, limits off: through the broker, through Envoy's reverse transcoder, through a plain proxy in Go.", smallCalls},
		{"small-calls-tls", "The same with TLS to the Dashboard, as it is in production.", overTLS(smallCalls)},
		{"latency", "500 calls a second, limits off: what the broker adds to asking the sandbox directly, and what Envoy adds.", latency},
		{"latency-tls", "The same with TLS to the Dashboard, as it is in production; direct is TLS, too.", overTLS(latency)},
		{"footprint", "1000 calls a second with answers of 1 kB: processors and memory, held against a sidecar.", footprint},
		{"page", "1000 calls a second, with the operators' page open and without: what it takes of a processor.", pageOpen},
		{"footprint-tls", "The same with TLS to the Dashboard, as it is in production.", overTLS(footprint)},
		{"address-limit", "100 calls a second of twelve organizations, as many as the Dashboard takes of one address: what the broker takes of a processor.", addressLimit},
		{"stream", "5000 rows through a stream: when pages are asked for, and what a client that stops reading costs.", streamRows},
		{"batches", "5,000 writes of switch ports in one organization, as one list with all five action batches, and each by itself at the full budget.", batches},
		{"organizations", "Ever more organizations at 10 calls a second each, limits on, until the machine does not carry them.", organizations},
		{"idle", "Start and stand there: how soon it serves, and what memory it takes.", idle},
	}
}
