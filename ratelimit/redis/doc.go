// Package redis is the Scheduler of several replicas that draw on the same
// budgets. They share them through a store that speaks the Redis protocol (one
// server, Sentinel or Cluster; Valkey is the same to it), and through nothing
// else: they do not know each other. Package service/store makes the connections.
//
// # In the store
//
// A budget is one key, and each step of it one run of one script: the bucket,
// the fair queue over what waits at all replicas, the stops and the pace, by the
// store's own clock. The script does what package ratelimit does in one process,
// and passes the same tests. A step takes along what there is to tell:
// successes and refunds wait here for the next one. The key expires when a new
// one would be no different.
//
// # Without the store
//
// A step that takes longer than Config.Timeout, fails, or answers what the script
// cannot answer, opens the breaker: from then on this replica goes on alone, with
// its part of every budget, and no caller waits for the store again until a
// probe in the background has found it well.
//
// The sum of what all replicas grant stays within burst + rate x t:
//
//   - Of the burst, a spare is kept out of the store: one slot for each replica
//     (less where the burst is small). With it a replica goes on at once,
//     whatever the others have spent just before. Nothing else is in its bucket
//     then, since what was in the store may be gone.
//   - The parts of the rate never sum up to more than all of it: see part.
//   - Back in the store, the bucket is empty: what flowed in meanwhile has been
//     spent alone. A replica that comes back after another pays for what it
//     spent in between, and for its spare.
//   - A store that comes back without its data starts with empty buckets: the
//     server's own uptime tells, and what this replica remembers of its last
//     slot.
//
// What it cannot hold: a replica that alone has lost the store, while the others
// still have it, spends its part on top of theirs until it is back (the 429s
// that follow, if the others use all of theirs, slow all of them down); and a
// budget with a burst below the number of replicas lets one slot a replica
// through after a rest. A store that evicts keys, or loses the last writes in a
// fail-over that no replica notices, forgets what was in them.
package redis
