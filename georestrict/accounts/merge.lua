-- Merge what a worker knows of an account into what is kept of it, and tell what is then known.
--
-- KEYS: the account, the changed accounts, the number of the last change, the worker's mark
-- ARGV: the worker, and its mark; now, and how long to keep, in minutes; after how many blocks to
--       flag, or 0 if the worker has nobody to tell; the most sightings; then fields and values
-- Returns whether the worker may tell that the account is flagged (1; -1: not now, ask again), the
-- number of the change (0: nothing has changed), then fields and values.
--
-- Every value begins with a minute of ten digits, so that of two the greater is the later one. What
-- is dropped is what record.py drops in memory.

local account, changed, sequence, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local worker, expected, now, keep = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local flag_after, most_sightings = tonumber(ARGV[5]), tonumber(ARGV[6])

local function minute_of(value) return tonumber(string.sub(value, 1, 10)) end
local function rest_of(value) return string.sub(value, 11) end
local function is(kind, field) return string.sub(field, 1, #kind) == kind end

-- The later of both.
local kept, merged = {}, {}
local hash = redis.call('HGETALL', account)
for i = 1, #hash, 2 do
  kept[hash[i]] = hash[i + 1]
  merged[hash[i]] = hash[i + 1]
end
for i = 7, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if not merged[field] or merged[field] < value then merged[field] = value end
end

-- Without what was forgotten, what is too old, and what is too far ahead.
local latest, oldest, seconds = now + keep, now - keep, keep * 60
local forgotten = merged['forgotten']
if forgotten then
  local minute = math.min(minute_of(forgotten), latest)
  local till = math.min(tonumber(string.sub(forgotten, 12)), latest)
  if till < now then
    merged['forgotten'] = nil
  else
    merged['forgotten'] = string.format('%010d:%010d', minute, till)
    oldest = math.max(oldest, minute + 1)
    seconds = (till - now + 1) * 60
  end
end
for field, value in pairs(merged) do
  if field ~= 'forgotten' then
    local minute = minute_of(value)
    if minute < oldest then
      merged[field] = nil
    elseif minute > latest then
      merged[field] = string.format('%010d', math.max(now, oldest)) .. rest_of(value)
    end
  end
end

-- At most so many sightings.
local sightings = {}
for field, value in pairs(merged) do
  if is('seen:', field) then table.insert(sightings, value .. field) end
end
table.sort(sightings)
for i = 1, #sightings - most_sightings do merged[string.sub(sightings[i], 11)] = nil end

-- The first worker that finds one block too many may tell; asked again, it is told so again. Not if
-- its mark is gone: then data was lost, and a flag with it that another worker may remember.
local blocks, granted = 0, 0
for field, value in pairs(merged) do
  if is('blocks:', field) then blocks = blocks + tonumber(string.sub(value, 12)) end
end
if flag_after > 0 and not merged['flag'] and blocks >= flag_after then
  if redis.call('GET', mark) == expected then
    merged['flag'] = string.format('%010d:', math.max(now, oldest)) .. worker
  else
    granted = -1
  end
end
if merged['flag'] then
  if flag_after > 0 and string.sub(merged['flag'], 12) == worker then granted = 1 end
  for field in pairs(merged) do
    if is('blocks:', field) then merged[field] = nil end
  end
end

-- Write what is new. A full Redis refuses a script whose first write needs memory, and lets the
-- others through. So forgetting, which begins with deleting, succeeds; else nothing is done by half.
local number = 0
local result, writes, deletes = {}, {}, {}
if merged['forgotten'] ~= kept['forgotten'] and merged['forgotten'] then
  redis.call('DEL', account)
  kept = {}
end
for field, value in pairs(merged) do
  table.insert(result, field)
  table.insert(result, value)
  if field ~= 'forgotten' then seconds = keep * 60 end
  if kept[field] ~= value then
    table.insert(writes, field)
    table.insert(writes, value)
  end
end
for field in pairs(kept) do
  if not merged[field] then table.insert(deletes, field) end
end
if #writes > 0 then redis.call('HSET', account, unpack(writes)) end
if #deletes > 0 then redis.call('HDEL', account, unpack(deletes)) end
if #writes + #deletes > 0 then
  number = redis.call('INCR', sequence)
  redis.call('ZADD', changed, number, string.sub(account, -32))
  redis.call('EXPIRE', account, seconds)
  redis.call('EXPIRE', changed, keep * 60)
  redis.call('EXPIRE', sequence, keep * 60)
  -- Each change takes out up to two of the oldest that have expired.
  for _, digest in ipairs(redis.call('ZRANGE', changed, 0, 1)) do
    if redis.call('EXISTS', string.sub(account, 1, -33) .. digest) == 0 then
      redis.call('ZREM', changed, digest)
    end
  end
end
return {granted, number, unpack(result)}
