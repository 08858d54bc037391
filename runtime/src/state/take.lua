-- Takes from all limits or from none, by the server's own clock.
--
-- KEYS are the limits'. ARGV has three of each: `b`, the interval and the
-- capacity of a bucket in microseconds; or `q`, the limit of a quota (-1 for
-- none) and when it may be forgotten. The answer is 0, or the place of the
-- limit that refuses, from 1, with the wait in microseconds (-1 for a quota).
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = {}
for i = 1, #KEYS do
  local first, second = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local kept = tonumber(redis.call('GET', KEYS[i]) or '0')
  if ARGV[3 * i - 2] == 'b' then
    full_at[i] = math.max(kept, now) + first
    -- Half a microsecond is what rounding may have added.
    local wait = full_at[i] - now - second
    if wait > 0.5 then
      return { i, math.ceil(wait) }
    end
  elseif first >= 0 and kept >= first then
    return { i, -1 }
  end
end
for i = 1, #KEYS do
  if full_at[i] then
    local ms = math.ceil((full_at[i] - now) / 1000) + 1
    redis.call('SET', KEYS[i], string.format('%.3f', full_at[i]), 'PX', string.format('%.0f', ms))
  else
    redis.call('INCR', KEYS[i])
    redis.call('EXPIREAT', KEYS[i], ARGV[3 * i])
  end
end
return { 0, 0 }
