-- One step of a budget, with queue.lua: what package ratelimit does in one process (fair.go,
-- adapt.go, bucket.go), atomically for all replicas. One key holds everything: a
-- hash with the state in field "s" and, in a field "c" with the caller's name, the
-- virtual finish of each caller's last slot. Times are microseconds of this
-- server's clock.
--
-- A step looks at MOST classes of the replica that asks and at MOST of the others,
-- whatever the number of those that wait: the first ones in the order of the
-- queue. So it takes as long for a thousand as for a hundred.
--
-- ARGV: 1 the clock, for tests; empty for the server's
--       2 the replica that asks
--       3 rate and 4 burst of the budget
--       5 microseconds since this replica last had a slot of the budget from
--         here; below 0 when it does not know of any
--       6 1 when this replica comes back from going on alone, else 0
--       7 slots it spent alone, 8 its share of the rate, 9 of the burst, then
--       10 successes since its last step, and 11 refunds: for each moment at
--       which slots were granted that will not be spent, "moment:slots "
--       12 "pull", "stop", or "tell" for nothing more
--   pull: 13 most slots, 14 how many more classes wait here than are told, then
--         what waits here in place of what was said before, five for each class:
--         priority, caller, count, weight, and the number of the last slot here
--   stop: 13 microseconds
-- Answer: when to ask again (-1 for on news only), the rate and the tokens in
-- millionths, how much of a stop is left, the time, how many slots, the number of
-- the last slot, then the number of the class of each slot. Where more classes wait than were told, the
-- virtual time follows and the virtual finish of each class's caller, in
-- millionths: by them the replica knows which classes come first next time.

local DECREASE, INCREASE, FLOOR = 0.7, 0.2, 0.5
local PROOF, PROBED, MEMORY, PAUSE = 26e6, 12, 60e6, 1.5e6
local SETTLED, BELIEVED, UNTOLD = 2e6, 0.6, -1e18
local GRACE, ABSENCE, HORIZON, RECHECK = 20e3, 500e3, 32, 1e6
local LAYOUT = 3 -- of what is kept; anything else is as good as lost
local MOST = 64
local SKEW, GRAIN, REST, RETURN = 1e6, 1e-9, 10e6, 5e6
local PEAKS = 8

local key, me = KEYS[1], ARGV[2]
local ceiling, burst = tonumber(ARGV[3]), tonumber(ARGV[4])
local since_grant, back = tonumber(ARGV[5]), ARGV[6] == '1'
local alone, share, spare = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local successes, refunds = tonumber(ARGV[10]), ARGV[11]

local now
if ARGV[1] ~= '' then
  now = tonumber(ARGV[1])
else
  local time = redis.call('TIME')
  now = time[1] * 1e6 + time[2]
end

-- A budget that is not known is full if it was let go when it was full, which
-- is the usual thing; and empty if it may have been lost.
local function lost()
  if since_grant >= 0 and since_grant < REST then return true end
  if ARGV[1] ~= '' then return false end
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then return true end
  local up = tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
  return not up or up < burst / ceiling + 2
end

local function read()
  local raw = redis.pcall('HGET', key, 's')
  if not raw then return nil end
  if type(raw) == 'string' then
    local ok, state = pcall(cmsgpack.unpack, raw)
    if ok and type(state) == 'table' and state.layout == LAYOUT then return state end
  end
  redis.call('DEL', key)
  return false
end

local s = read()
if not s then
  s = {layout = LAYOUT, tokens = (s == false or lost()) and 0 or burst, last = now, seen = now, full = now, ceiling = ceiling, virtual = 0, turn = 0,
    rate = 0, mark = 0, empty = 0, stop = 0, spent = 0, back = 0, peaks = {}, cursor = '0', waiting = {}, replicas = {}}
end

-- No slot granted before then can come back.
local function void(before)
  s.full, s.peaks = math.max(s.full, before), {}
end

-- The clock was set back: what was to end keeps its distance, nothing flows in.
if now < s.seen then
  local d = s.seen - now
  if d > SKEW then
    void(s.seen + 1) -- what was granted by the old time cannot be placed in the new one
    s.last, s.back = s.last - d, s.back - d
    if s.empty ~= 0 then s.empty, s.stop = s.empty - d, s.stop - d end
    for _, w in ipairs(s.waiting) do
      if w[7] > 0 then w[7] = w[7] - d end
    end
    for _, r in ipairs(s.replicas) do r[2] = r[2] - d end
  else
    now = s.seen
  end
end
s.seen = now

-- The bucket.
local function pace()
  if s.rate > 0 and s.rate < ceiling then return s.rate end
  return ceiling
end
if now > s.last then
  local rate = s.ceiling
  if s.rate > 0 and s.rate < rate then rate = s.rate end
  s.tokens = math.min(burst, s.tokens + (now - s.last) * rate / 1e6)
  s.last = now
end
s.ceiling = ceiling
if now >= s.stop and s.tokens >= burst - GRAIN then
  void(now)
  if s.empty ~= 0 then s.spent = UNTOLD end
end

-- A slot that comes back raises the level to where it would stand if the slot had
-- never been granted: what would have overflowed meanwhile does not come back.
for granted, slots in string.gmatch(refunds, '(%d+):(%d+)') do
  granted, slots = tonumber(granted), tonumber(slots)
  if granted >= s.full and granted <= now then
    local highest = s.tokens
    for _, p in ipairs(s.peaks) do
      if p[1] > granted then highest = math.max(highest, p[2]) end
    end
    local given = math.min(slots, burst - highest)
    if given > 0 then
      s.tokens, s.spent = s.tokens + given, s.spent - slots
      for _, p in ipairs(s.peaks) do
        if p[1] > granted then p[2] = p[2] + given end
      end
    end
  end
end

-- note remembers the level before slots were granted.
local function note(level)
  local peaks = s.peaks
  if now <= s.full or #peaks > 0 and now <= peaks[#peaks][1] then return end
  while #peaks > 0 and peaks[#peaks][2] <= level do table.remove(peaks) end
  if #peaks == PEAKS then
    peaks[2][2] = math.max(peaks[1][2], peaks[2][2])
    table.remove(peaks, 1)
  end
  peaks[#peaks + 1] = {now, level}
end

if back then
  -- The replica that comes back first finds the bucket empty: what flowed in
  -- meanwhile has been spent. One that comes later has gone on alone beside it.
  local debt = spare
  if s.back > 0 and now - s.back < RETURN then
    debt = spare + share * (now - s.back) / 1e6
  else
    s.back = now
  end
  s.tokens = math.min(s.tokens, 0) - math.min(alone, debt)
  void(now + 1)
end

-- The pace.
if successes > 0 and s.rate > 0 then
  local bound, t = ceiling, now - s.stop
  if t < PROOF then
    local x = math.max(0, t) / PROOF
    bound = math.min(ceiling, s.mark + 4 * PROBED / PROOF * 1e6 * x * x * x)
  end
  s.rate = math.max(s.rate, math.min(s.rate + successes * INCREASE, bound))
  if s.rate >= ceiling then s.rate = 0 end
end
if s.empty ~= 0 and now - s.stop > MEMORY and s.rate == 0 then
  s.mark, s.empty, s.stop, s.spent = 0, 0, 0, 0
end

local reply = {-1, 0, 0, 0, now, 0, 0} -- the zeros are filled in later
local HEADER = 7

local function stop(d)
  local till = now + d
  if now < s.stop then
    s.stop = math.max(s.stop, till)
  else
    local rate = pace()
    local mark, gap = rate, now - s.empty
    if s.empty ~= 0 and s.spent > 0 and gap >= SETTLED and gap <= MEMORY then
      mark = math.max(rate * BELIEVED, math.min(rate, (s.spent - 1) / gap * 1e6))
    end
    s.mark, s.stop = mark, till
    s.rate = math.max(math.min(FLOOR, ceiling), math.min(rate * DECREASE, mark))
  end
  s.empty, s.spent = s.stop - math.min(d, PAUSE), 0
  s.tokens, s.last = math.min(s.tokens, 0), s.stop
  void(now + 1)
end

