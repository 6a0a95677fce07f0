r"""What Redis does in one atomic step, in its own language. One script, so that Redis knows all of it or nothing.

``KEYS[1]`` is what the keys of one shard begin with (or, for ``beat`` and ``retire``, the key of the leases, and for
``agree`` that of what the nodes agreed on); everything else the script touches is named from it, and lies in the same
slot of a Redis Cluster. ``ARGV[1]`` is a list in MessagePack: what to do, for how many seconds keys are kept that
nobody touches, and what the operation takes.

The keys of a shard, behind its prefix::

    step              the last step that was given
    dead              nodes that may not put anybody anywhere any more, by when that was found
    n:<node>:<app>    "<channel>\0<socket>" for everybody whom that node put into a channel
    a:<node>          the Apps in which there are such, and perhaps some in which there were
    s:<place>         socket -> "<node> 0", or "<node> 1<user>" for a member
    u:<place>         user -> how many connections
    m:<place>         user -> "<step of joining>:<info>"
    p:<app>           the occupied channels, sorted by name
    c:<app>, o:<app>, b:<app>   last events of cache channels; the channels by step; bytes of all

A *step* is Redis's clock in microseconds, or one more than the last one where that is not higher. So it rises within a
shard whatever happens to the clock, and goes on rising when Redis lost everything.

Every answer is one string of MessagePack too, since redis-py's time goes into each part of what comes and goes, not
into each byte. Redis unpacks no bytes, only text.

Where nobody renewed a lease for longer than ``away``, nobody could: Redis was away, not the nodes. So who was alive
then has one lease more.

Keys are given their time when they are made; whoever owns something in them gives them more, often enough (``touch``).
What is done most often comes first, and is done before the rest is so much as defined.

A node is *clean* in a shard when it is among the ``dead`` there and owns nothing, in no App: it never will again. The
leases know nothing any more of one that is clean in all shards.

A change that nodes with the script before it would misread is another ``FORMAT`` (:mod:`relay.cluster.redis.agreed`).
"""

from __future__ import annotations

import hashlib
from typing import Final

_COMMON = r"""
local P, asked = KEYS[1], cmsgpack.unpack(ARGV[1])
local op, forget = asked[1], asked[2]
local call = redis.call
local function run(operation) return cmsgpack.pack(operation(unpack(asked, 3))) end
local function text(number) return string.format('%.0f', number) end
local function clock() local t = call('TIME'); return t[1] * 1000000 + t[2] end
local function keep(...) for _, key in ipairs({...}) do call('EXPIRE', key, forget) end end
local function place(app, channel) return #app .. ':' .. app .. ':' .. channel end
local function step()
  local now, last = clock(), tonumber(call('GET', P .. 'step') or '0')
  if now <= last then now = last + 1 end
  call('SET', P .. 'step', text(now), 'EX', forget)
  return now
end
"""

_MEMBERSHIP = r"""
local function join(app, channel, socket, node, member, user, info, most)
  if call('ZSCORE', P .. 'dead', node) then return {'dead'} end
  local at = place(app, channel)
  local sockets, users, members, index = P .. 's:' .. at, P .. 'u:' .. at, P .. 'm:' .. at, P .. 'p:' .. app
  local mine, entry = P .. 'n:' .. node .. ':' .. app, channel .. '\0' .. socket
  local was, known = call('HGET', sockets, socket), nil
  if not was and member == '1' and call('HEXISTS', users, user) == 0 then
    known = call('HLEN', users)
    if known > 0 and known >= tonumber(most) then return {'full', known} end
  end
  local now, first = step(), 0
  if was then
    local owner, rest = string.match(was, '^(%S+)( .*)$')
    if owner ~= node then
      call('SREM', P .. 'n:' .. owner .. ':' .. app, entry)
      call('HSET', sockets, socket, node .. rest)
    end
  else
    call('HSET', sockets, socket, node .. ' ' .. member .. user)
    if member == '1' and call('HINCRBY', users, user, 1) == 1 then
      first = 1
      call('HSET', members, user, text(now) .. ':' .. info)
      if known == 0 then keep(users, members) end
    end
  end
  local count = call('HLEN', sockets)
  local new = not was and count == 1 and 1 or 0
  if new == 1 then
    call('ZADD', index, 0, channel)
    keep(sockets, index)
  end
  if call('SADD', mine, entry) == 1 and call('SCARD', mine) == 1 then
    call('SADD', P .. 'a:' .. node, app)
    keep(mine, P .. 'a:' .. node)
  end
  return {'in', count, now, new, first, member == '1' and call('HGETALL', members) or {}}
end
if op == 'join' then return run(join) end

local function leave(app, channel, socket, only)
  local at = place(app, channel)
  local sockets, users = P .. 's:' .. at, P .. 'u:' .. at
  local was = call('HGET', sockets, socket)
  if not was then return {} end
  local node, member, user = string.match(was, '^(%S+) (.)(.*)$')
  if only and node ~= only then return {} end
  call('HDEL', sockets, socket)
  call('SREM', P .. 'n:' .. node .. ':' .. app, channel .. '\0' .. socket)
  local last, count = 0, call('HLEN', sockets)
  if member == '1' and call('HINCRBY', users, user, -1) < 1 then
    last = 1
    call('HDEL', users, user)
    call('HDEL', P .. 'm:' .. at, user)
  end
  if count == 0 then call('ZREM', P .. 'p:' .. app, channel) end
  return {count, last, step(), member, user}
end
if op == 'leave' then return run(function(app, channel, socket) return leave(app, channel, socket, nil) end) end
"""

_NODES = r"""
local function sweep(node, apps, most)
  local dead, now = P .. 'dead', clock()
  call('ZADD', dead, text(now), node)
  call('ZREMRANGEBYSCORE', dead, '-inf', text(now - forget * 1000000))
  keep(dead)
  local wanted, owning, more, gone, taken = {}, P .. 'a:' .. node, 0, {}, 0
  for _, app in ipairs(apps) do wanted[app] = true end
  for _, app in ipairs(call('SMEMBERS', owning)) do
    local mine = P .. 'n:' .. node .. ':' .. app
    if wanted[app] and taken < most then
      for _, entry in ipairs(call('SPOP', mine, most - taken)) do
        local channel, socket = string.match(entry, '^(.*)%z([^%z]*)$')
        local left = channel and leave(app, channel, socket, node) or {}
        if left[1] then gone[#gone + 1] = {app, channel, socket, left} end
        taken = taken + 1
      end
    end
    if call('EXISTS', mine) == 0 then
      call('SREM', owning, app)
    elseif wanted[app] then
      more = 1
    end
  end
  return {more, 1 - call('EXISTS', owning), gone}
end

local function touch(node, app, cursor)
  local mine = P .. 'n:' .. node .. ':' .. app
  local found = call('SSCAN', mine, cursor, 'COUNT', 500)
  for _, entry in ipairs(found[2]) do
    local at = place(app, string.match(entry, '^(.*)%z'))
    keep(P .. 's:' .. at, P .. 'u:' .. at, P .. 'm:' .. at)
  end
  keep(mine, P .. 'a:' .. node, P .. 'p:' .. app, P .. 'step')
  return found[1]
end

local function dead(from, most)
  return call('ZREVRANGEBYSCORE', P, '(' .. text(clock()), '-inf', 'LIMIT', from, most)
end

local function beat(node, known, lease, away, before, most)
  local now = clock()
  local latest = call('ZRANGE', P, -1, -1, 'WITHSCORES')[2]
  if latest and now - (latest - lease) > away then
    for _, one in ipairs(call('ZRANGEBYSCORE', P, text(latest - lease), '+inf')) do
      call('ZADD', P, text(now + lease), one)
    end
  end
  local due = call('ZSCORE', P, node)
  if known == 1 and (not due or tonumber(due) < now) then return {1} end
  call('ZADD', P, text(now + lease), node)
  for _, one in ipairs(before) do call('ZADD', P, 'XX', text(now + lease), one) end
  call('ZREMRANGEBYSCORE', P, '-inf', text(now - forget * 1000000))
  keep(P)
  return {0, dead(0, most)}
end

local function retire(node, clean)
  if clean == 1 then return call('ZREM', P, node) end
  return call('ZADD', P, 'XX', text(clock()), node)
end

local function clean(nodes)
  for _, one in ipairs(nodes) do
    local due = call('ZSCORE', P, one)
    if due and tonumber(due) < clock() then call('ZREM', P, one) end
  end
  return 0
end
"""

_AGREEMENT = r"""
local function agree(since, lasts, terms)
  local first, same = call('HGET', P, 'since'), true
  if not first or (since > 0 and since < tonumber(first)) then
    call('DEL', P)
    call('HSET', P, 'since', text(since > 0 and since or clock()))
  end
  for i = 1, #terms, 2 do
    call('HSETNX', P, terms[i], terms[i + 1])
    same = same and call('HGET', P, terms[i]) == terms[i + 1]
  end
  if same then call('PEXPIRE', P, lasts) end
  return call('HGETALL', P)
end
"""

_QUESTIONS = r"""
local function occupied(app, prefix, low, most)
  local names, answer = call('ZRANGEBYLEX', P .. 'p:' .. app, low, '[' .. prefix .. '\255', 'LIMIT', 0, most), {}
  for i, channel in ipairs(names) do
    local at = place(app, channel)
    answer[i] = {channel, call('HLEN', P .. 's:' .. at), call('HLEN', P .. 'u:' .. at)}
  end
  return answer
end

local function roster(app, channel)
  return call('HGETALL', P .. 'm:' .. place(app, channel))
end

local function occupancy(app, channel)
  local at = place(app, channel)
  return {call('HLEN', P .. 's:' .. at), call('HLEN', P .. 'u:' .. at)}
end
"""

_CACHE = r"""
local function remember(app, channel, event, now, till, seconds, channels, bytes)
  local entries, order, size = P .. 'c:' .. app, P .. 'o:' .. app, P .. 'b:' .. app
  local function drop(name)
    local was = call('HGET', entries, name)
    if not was then return end
    call('HDEL', entries, name)
    call('ZREM', order, name)
    call('DECRBY', size, #name + #was - string.match(was, '^%S+ %S+ ()') + 1)
  end
  local this = step()
  drop(channel)
  if #channel + #event > tonumber(bytes) then return this end
  call('HSET', entries, channel, till .. ' ' .. text(this) .. ' ' .. event)
  call('ZADD', order, text(this), channel)
  call('INCRBY', size, #channel + #event)
  while true do
    local oldest = call('ZRANGE', order, 0, 0)[1]
    if not oldest then break end
    local over = call('ZCARD', order) > tonumber(channels) or tonumber(call('GET', size)) > tonumber(bytes)
    local was = call('HGET', entries, oldest)
    if not over and was and tonumber(string.match(was, '^%S+')) > tonumber(now) then break end
    call('ZREM', order, oldest)
    drop(oldest)
  end
  for _, key in ipairs({entries, order, size}) do call('EXPIRE', key, seconds) end
  return this
end
"""

_CHOICE = r"""
local operations = {sweep = sweep, touch = touch, dead = dead, beat = beat, clean = clean, occupied = occupied,
  occupancy = occupancy, roster = roster, remember = remember, agree = agree, retire = retire}
return run(operations[op])
"""

SCRIPT: Final = (_COMMON + _MEMBERSHIP + _NODES + _AGREEMENT + _QUESTIONS + _CACHE + _CHOICE).encode()
SHA: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
"""What Redis calls the script by."""
