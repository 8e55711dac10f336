-- The fair queue over what waits at all replicas, and the step itself. This is the
-- second half of the script; bucket.lua is the first.

local function drop(list, match)
  local kept = {}
  for _, x in ipairs(list) do
    if not match(x) then kept[#kept + 1] = x end
  end
  return kept
end

-- What waits of one class at one replica is {priority, caller, replica, count,
-- weight, turn, due}. turn is the number of the last slot of the class there, so
-- that the replicas at which one caller waits take turns; due is since when a slot
-- has been left for it. left, next, start, freed and number are for the walk.

local function leave(name)
  s.replicas = drop(s.replicas, function(r) return r[1] == name end)
  s.waiting = drop(s.waiting, function(w) return w[3] == name end)
end

local told = {} -- the classes of this ask, in its order

local function join()
  s.waiting = drop(s.waiting, function(w) return w[3] == me end)
  for i = 15, #ARGV, 5 do
    local w = {tonumber(ARGV[i]), ARGV[i + 1], me, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), 0}
    told[#told + 1] = w
    w.number = #told
    if w[4] > 0 then s.waiting[#s.waiting + 1] = w end
  end
end

-- finish holds the virtual finish of each caller that waits.
local finish = {}

local function callers()
  local names, fields = {}, {}
  for _, list in ipairs({s.waiting, told}) do
    for _, w in ipairs(list) do
      if not finish[w[2]] then
        finish[w[2]] = 0
        names[#names + 1], fields[#fields + 1] = w[2], 'c' .. w[2]
      end
    end
  end
  if #names == 0 then return end
  for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do
    if value then finish[names[i]] = tonumber(value) end
  end
end

local function before(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  if a.start ~= b.start then return a.start < b.start end
  if a[2] ~= b[2] then return a[2] < b[2] end
  if a.next ~= b.next then return a.next < b.next end
  return a[3] < b[3]
end

-- The heap has what comes first on top. Its order is that of start and next as
-- they were noted, which only ever rise.
local heap = {}

local function sink(i)
  local x, n = heap[i], #heap
  while true do
    local child = 2 * i
    if child > n then break end
    if child < n and before(heap[child + 1], heap[child]) then child = child + 1 end
    if not before(heap[child], x) then break end
    heap[i] = heap[child]
    i = child
  end
  heap[i] = x
end

local function pop()
  heap[1] = heap[#heap]
  heap[#heap] = nil
  if #heap > 0 then sink(1) end
end

-- first is what the next slot falls to.
local function first(virtual, ahead)
  while #heap > 0 do
    local w = heap[1]
    local start = math.max(virtual, ahead[w[2]])
    if w.left <= 0 then
      pop()
    elseif start > w.start then
      w.start = start
      sink(1)
    else
      return w
    end
  end
end

-- settle ends the time that others have to fetch a slot which is not free for
-- them any more.
local function settle()
  for _, w in ipairs(s.waiting) do
    if w[3] ~= me and not w.freed then w[7] = 0 end
  end
end

-- walk goes through the slots to come in their order, free ones first. Those that
-- are free and fall to this replica are granted. It returns how many, and the
-- number of the first slot that is still to come, 0 if there is none and 1 if it
-- can be had at once.
local function walk(most, more)
  local rate = pace()
  local free = 0
  if now >= s.stop then free = math.max(0, math.floor(s.tokens + GRAIN)) end
  local horizon = free + math.min(HORIZON, math.ceil(rate * RECHECK / 1e6) + 1)
  local virtual, turn, granted = s.virtual, s.turn, 0
  local ahead, spent, last = {}, {}, nil
  for caller, value in pairs(finish) do ahead[caller] = value end
  for i, w in ipairs(s.waiting) do
    w.left, w.next, w.start, w.freed = w[4], w[6], math.max(virtual, ahead[w[2]]), false
    heap[i] = w
    if more > 0 and w[3] == me and (not last or before(last, w)) then last = w end
  end
  if last then last = {last[1], last[2], last[3], start = last.start, next = last.next} end
  for i = math.floor(#heap / 2), 1, -1 do sink(i) end

  local n, slot = 0, nil
  while not slot and n < horizon do
    if n == free then settle() end
    local w = first(virtual, ahead)
    if not w then
      settle()
      slot = more > 0 and granted + 1 or 0
      break
    end
    local mine, late = w[3] == me, false
    if mine then
      if n >= free then
        slot = n + 1
      elseif most > 0 and granted >= most or last and granted > 0 and before(last, w) then
        slot = 1 -- in the second case of a class that was not told, which may come before this one
      end
    elseif n < free then
      w.freed = true
      if w[7] == 0 then w[7] = now end
      late = now - w[7] > GRACE
    end
    if late then
      pop()
    elseif not slot then
      local start = w.start
      virtual, turn = start, turn + 1
      ahead[w[2]] = start + 1 / w[5]
      w.left, w.next, w.start = w.left - 1, turn, ahead[w[2]]
      sink(1)
      if mine then
        s.virtual, s.turn = math.max(s.virtual, start), s.turn + 1
        w[4], w[6], w[7] = w[4] - 1, s.turn, 0
        finish[w[2]], spent[w[2]] = ahead[w[2]], true
        granted = granted + 1
        reply[HEADER + granted] = w.number
      end
      n = n + 1
    end
  end
  local fields = {}
  for caller in pairs(spent) do
    fields[#fields + 1], fields[#fields + 2] = 'c' .. caller, string.format('%.17g', finish[caller])
  end
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
  return granted, slot or horizon
end

-- keep bounds what waits to the first MOST in the order of the queue.
local function keep()
  s.waiting = drop(s.waiting, function(w) return w[4] <= 0 end)
  if #s.waiting <= MOST then return end
  for _, w in ipairs(s.waiting) do w.start, w.next = math.max(s.virtual, finish[w[2]]), w[6] end
  table.sort(s.waiting, before)
  for i = #s.waiting, MOST + 1, -1 do s.waiting[i] = nil end
end

local function pull(most, more)
  for _, r in ipairs(s.replicas) do
    if now > r[2] then leave(r[1]) end
  end
  join()
  callers()
  local granted, slot = walk(most, more)
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
  if again < 0 then
    leave(me)
  else
    local known = false
    local till = now + math.min(again, 3600e6) + ABSENCE
    for _, r in ipairs(s.replicas) do
      if r[1] == me then r[2], known = till, true end
    end
    if not known then s.replicas[#s.replicas + 1] = {me, till} end
  end
  keep()
  reply[1], reply[6], reply[7] = again, granted, s.turn
  if more > 0 then
    local function millionths(x) return math.floor(math.min(x, 1e12) * 1e6) end
    reply[#reply + 1] = millionths(s.virtual)
    for _, w in ipairs(told) do reply[#reply + 1] = millionths(finish[w[2]]) end
  end
end

if ARGV[12] == 'stop' then
  stop(tonumber(ARGV[13]))
elseif ARGV[12] == 'pull' then
  pull(tonumber(ARGV[13]), tonumber(ARGV[14]))
end

-- Forget callers whose finish says nothing any more, a few in each step.
if redis.call('HLEN', key) > MOST then
  local page = redis.call('HSCAN', key, s.cursor, 'COUNT', 10 + 2 * reply[6])
  s.cursor = page[1]
  for i = 1, #page[2], 2 do
    local field, value = page[2][i], page[2][i + 1]
    if field ~= 's' and tonumber(value) <= s.virtual then redis.call('HDEL', key, field) end
  end
end

for _, w in ipairs(s.waiting) do
  w.left, w.next, w.start, w.freed, w.number = nil, nil, nil, nil, nil
end

-- Kept until nothing would be lost: the bucket full, the pace old, the replicas gone.
local useful = math.max((s.last - now) + (burst - s.tokens) / pace() * 1e6, 0)
if s.empty ~= 0 then useful = math.max(useful, s.stop - now + MEMORY) end
for _, r in ipairs(s.replicas) do useful = math.max(useful, r[2] - now) end
redis.call('HSET', key, 's', cmsgpack.pack(s))
redis.call('PEXPIRE', key, math.ceil((useful + REST) / 1e3))

reply[2] = math.floor(pace() * 1e6 + 0.5)
reply[3] = math.floor(s.tokens * 1e6)
reply[4] = math.ceil(math.max(0, s.stop - now))
return reply
