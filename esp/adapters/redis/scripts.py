"""What Redis does for us in one step each: the bucket's law (a copy of esp/model/bucket.py) and leases, in Lua.

The time is Redis' own, so that the nodes' clocks need not agree; a test hands it in. Every key expires by itself: what
Redis forgets (flush, restart, eviction) is a full bucket and a free lease, which costs at most one window of rate.
"""

from typing import Final

# Redis truncates Lua numbers to integers in replies and `tostring` keeps 14 digits: numbers travel as %.17g.
_CLOCK: Final = """
local now = tonumber(ARGV[1])
if now < 0 then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
"""

_REFILL: Final = """
local amount, seconds = tonumber(ARGV[2]), tonumber(ARGV[3])
local per_second = amount / seconds
local burst = math.max(1.0, per_second)
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1]), tonumber(state[2])
if tokens == nil or at == nil then
  if ARGV[5] == 'known' then return 0 end
  tokens, at = burst, now
end
tokens = math.min(burst, tokens + math.max(0.0, now - at) * per_second)
"""

_KEEP: Final = """
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.17g', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(60, 2 * burst / per_second) * 1000))
"""

# KEYS: bucket. ARGV: now (-1: Redis' own), amount, seconds, want, 'any'. Returns granted, wait in seconds as text.
TAKE: Final = (
    _CLOCK + _REFILL + """
local granted = math.min(math.max(tonumber(ARGV[4]), 0), math.floor(tokens + 1e-9))
tokens = tokens - granted
""" + _KEEP + """
local wait = 0.0
if granted == 0 then wait = math.max(0.0, 1.0 - tokens) / per_second end
return {granted, string.format('%.17g', wait)}
"""
)

# KEYS: bucket. ARGV: now, amount, seconds, tokens returned, 'known' (a bucket that is gone is full already).
GIVE_BACK: Final = (
    _CLOCK + _REFILL + """
tokens = math.min(burst, tokens + math.max(tonumber(ARGV[4]), 0))
""" + _KEEP + """
return 1
"""
)

# KEYS: lease, fence counter. ARGV: owner, milliseconds. Returns the fence, or nil where another holds it.
# A flush would start the counter again at 1, below fences already given out; so it starts from Redis' clock.
LEASE: Final = """
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] and held[1] ~= ARGV[1] then return nil end
local fence = tonumber(held[2])
if not held[1] then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    local t = redis.call('TIME')
    redis.call('SET', KEYS[2], string.format('%.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)))
  end
  fence = redis.call('INCR', KEYS[2])
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', string.format('%.0f', fence))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return string.format('%.0f', fence)
"""

# KEYS: lease. ARGV: owner.
RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
