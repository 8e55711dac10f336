-- One step of a budget: what package ratelimit does in one process (fair.go,
-- adapt.go, bucket.go), atomically for all replicas. One key holds everything;
-- times are microseconds of this server's clock.
--
-- ARGV: 1 the clock, for tests; empty for the server's
--       2 who asks: replica and lane
--       3 rate and 4 burst of the budget
--       5 microseconds since this replica last had a slot of the budget from
--         here; below 0 when it does not know of any
--       6 1 when this replica comes back from going on alone, else 0
--       7 slots it spent alone, 8 its share of the rate, 9 of the burst, then
--       10 successes since its last step, and 11 refunds: for each moment at
--       which slots were granted that will not be spent, "moment:slots "
--       12 "pull", "stop", or "tell" for nothing more
--   pull: 13 most slots, then what waits here in place of what was said before,
--         four for each class: priority, caller, count, weight
--   stop: 13 microseconds
-- Answer: when to ask again (-1 for on news only), the rate and the tokens in
-- millionths, how much of a stop is left, the time, then the number of the class
-- of each slot.

local DECREASE, INCREASE, FLOOR = 0.7, 0.2, 0.5
local PROOF, PROBED, MEMORY, PAUSE = 26e6, 12, 60e6, 1.5e6
local SETTLED, BELIEVED, UNTOLD = 2e6, 0.6, -1e18
local GRACE, ABSENCE, HORIZON, RECHECK = 20e3, 500e3, 32, 1e6
local LAYOUT = 2 -- of what is kept; anything else is as good as lost
local SKEW, GRAIN, REST, RETURN = 1e6, 1e-9, 10e6, 5e6
local PEAKS = 8

local key, who = KEYS[1], ARGV[2]
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
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local ok, state = pcall(cmsgpack.unpack, raw)
  if ok and type(state) == 'table' and state.layout == LAYOUT then return state end
  return false
end

local s = read()
if not s then
  s = {layout = LAYOUT, tokens = (s == false or lost()) and 0 or burst, last = now, seen = now, full = now, ceiling = ceiling, virtual = 0, turn = 0,
    rate = 0, mark = 0, empty = 0, stop = 0, spent = 0, back = 0, peaks = {}, callers = {}, places = {}, lanes = {}}
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
    for _, p in ipairs(s.places) do
      if p[7] > 0 then p[7] = p[7] - d end
    end
    for _, l in ipairs(s.lanes) do l[2] = l[2] - d end
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
  -- Whoever comes back first finds what flowed in meanwhile spent already: the
  -- bucket is empty. Who comes later has gone on alone beside it since.
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

local reply = {-1, 0, 0, 0, now} -- the three zeros are filled in at the end

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

-- A place is {priority, caller, lane, count, weight, turn, due}; left, next,
-- late and freed are for the walk.
local function drop(list, match)
  local kept = {}
  for _, x in ipairs(list) do
    if not match(x) then kept[#kept + 1] = x end
  end
  return kept
end

local function leave(name)
  s.lanes = drop(s.lanes, function(l) return l[1] == name end)
  s.places = drop(s.places, function(p) return p[3] == name end)
end

local function join()
  local kept = {}
  for i = 14, #ARGV, 4 do
    local priority, caller, count, weight = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local place
    for _, p in ipairs(s.places) do
      if p[3] == who and p[2] == caller and p[1] == priority then place = p end
    end
    if not place then
      place = {priority, caller, who, 0, 1, 0, 0}
      s.places[#s.places + 1] = place
    end
    place[4], place[5], place[7] = count, weight, 0
    place.number, kept[place] = (i - 10) / 4, true
  end
  s.places = drop(s.places, function(p) return p[3] == who and not kept[p] end)
end

local function settle()
  for _, p in ipairs(s.places) do
    if p[3] ~= who and not p.freed then p[7] = 0 end
  end
end

local function walk(most)
  local rate = pace()
  local free = 0
  if now >= s.stop then free = math.max(0, math.floor(s.tokens + GRAIN)) end
  local horizon = free + math.min(HORIZON, math.ceil(rate * RECHECK / 1e6) + 1)
  local virtual, turn, granted = s.virtual, s.turn, 0
  local ahead = {}
  for _, p in ipairs(s.places) do
    p.left, p.next = p[4], p[6]
    ahead[p[2]] = s.callers[p[2]] or 0
  end
  local n = 0
  while n < horizon do
    if n == free then settle() end
    local best, best_start
    for _, p in ipairs(s.places) do
      if p.left > 0 and not p.late then
        local start = math.max(virtual, ahead[p[2]])
        local first = not best
        if best then
          if p[1] ~= best[1] then first = p[1] < best[1]
          elseif start ~= best_start then first = start < best_start
          elseif p[2] ~= best[2] then first = p[2] < best[2]
          elseif p.next ~= best.next then first = p.next < best.next
          else first = p[3] < best[3] end
        end
        if first then best, best_start = p, start end
      end
    end
    if not best then
      settle()
      return granted, 0
    end
    local mine, skip = best[3] == who, false
    if mine then
      if n < free and most > 0 and granted >= most then return granted, 1 end
      if n >= free then return granted, n + 1 end
    elseif n < free then
      best.freed = true
      if best[7] == 0 then best[7] = now end
      if now - best[7] > GRACE then best.late, skip = true, true end
    end
    if not skip then
      virtual, ahead[best[2]], turn = best_start, best_start + 1 / best[5], turn + 1
      best.left, best.next = best.left - 1, turn
      if mine then
        s.virtual, s.turn = math.max(s.virtual, best_start), s.turn + 1
        s.callers[best[2]], best[6] = ahead[best[2]], s.turn
        best[4], best[7] = best[4] - 1, 0
        granted = granted + 1
        reply[5 + granted] = best.number
      end
      n = n + 1
    end
  end
  return granted, horizon
end

local function pull(most)
  for _, l in ipairs(s.lanes) do
    if now > l[2] then leave(l[1]) end
  end
  join()
  local granted, slot = walk(most)
  if granted > 0 then note(s.tokens) end
  s.tokens, s.spent = s.tokens - granted, s.spent + granted

  local again = -1
  if slot > 0 then
    local stopped = math.max(0, s.stop - now)
    local missing = slot - granted - s.tokens
    again = 0
    if missing > GRAIN then again = math.min(RECHECK, math.ceil(missing / pace() * 1e6)) end
    again = again + stopped
  end
  s.places = drop(s.places, function(p) return p[4] <= 0 end)
  if again < 0 then
    leave(who)
  else
    local known = false
    local till = now + math.min(again, 3600e6) + ABSENCE
    for _, l in ipairs(s.lanes) do
      if l[1] == who then l[2], known = till, true end
    end
    if not known then s.lanes[#s.lanes + 1] = {who, till} end
  end
  reply[1] = again
end

if ARGV[12] == 'stop' then
  stop(tonumber(ARGV[13]))
elseif ARGV[12] == 'pull' then
  pull(tonumber(ARGV[13]))
end

-- Forget what says nothing any more.
local waits = {}
for _, p in ipairs(s.places) do
  waits[p[2]] = true
  p.left, p.next, p.late, p.freed, p.number = nil, nil, nil, nil, nil
end
for caller, finish in pairs(s.callers) do
  if finish <= s.virtual and not waits[caller] then s.callers[caller] = nil end
end

-- Kept until nothing would be lost: the bucket full, the pace old, the lanes gone.
local keep = math.max((s.last - now) + (burst - s.tokens) / pace() * 1e6, 0)
if s.empty ~= 0 then keep = math.max(keep, s.stop - now + MEMORY) end
for _, l in ipairs(s.lanes) do keep = math.max(keep, l[2] - now) end
redis.call('SET', key, cmsgpack.pack(s), 'PX', math.ceil((keep + REST) / 1e3))

reply[2] = math.floor(pace() * 1e6 + 0.5)
reply[3] = math.floor(s.tokens * 1e6)
reply[4] = math.ceil(math.max(0, s.stop - now))
return reply
