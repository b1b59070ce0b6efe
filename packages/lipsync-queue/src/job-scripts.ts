/**
 * The Lua scripts of the job store; each is one atomic step. A record is a hash: `revision`, `status` and `writer` for
 * the scripts, `format` and `record` (JSON) for us. `writer` names the call that made the last change: when a
 * connection breaks after Redis did its work, the client sends the script again, and the second run recognizes its
 * own work instead of reporting a conflict.
 */

/**
 * KEYS record, all, status, unfinished. ARGV writer, revision, status, format, record, member, channel.
 * 1: stored (now, or by this writer before), 0: the id is taken.
 */
export const createScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'writer') == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'revision', ARGV[2], 'status', ARGV[3], 'format', ARGV[4], 'record', ARGV[5])
redis.call('ZADD', KEYS[2], 0, ARGV[6])
redis.call('ZADD', KEYS[3], 0, ARGV[6])
redis.call('ZADD', KEYS[4], 0, ARGV[6])
redis.call('PUBLISH', ARGV[7], ARGV[2])
return 1
`;

/**
 * KEYS record, old status, new status, unfinished, outbox.
 * ARGV writer, expected revision, revision, status, format, record, member, terminal (1 or 0), channel, outbox event (JSON,
 * or empty for none), maximum length of the outbox.
 * 1: stored, 0: somebody else changed it first.
 */
export const replaceScript = `
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[2] then
  return redis.call('HGET', KEYS[1], 'writer') == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'revision', ARGV[3], 'status', ARGV[4], 'format', ARGV[5], 'record', ARGV[6])
if KEYS[2] ~= KEYS[3] then
  redis.call('ZREM', KEYS[2], ARGV[7])
  redis.call('ZADD', KEYS[3], 0, ARGV[7])
end
if ARGV[8] == '1' then redis.call('ZREM', KEYS[4], ARGV[7]) end
if ARGV[10] ~= '' then redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[11], '*', 'event', ARGV[10]) end
redis.call('PUBLISH', ARGV[9], ARGV[3])
return 1
`;

/**
 * KEYS index. ARGV start ('+' or '(member'), limit, record key prefix, length of the time part of a member.
 * A flat list of member, format, record of each entry, newest first.
 */
export const listScript = `
local members = redis.call('ZRANGE', KEYS[1], ARGV[1], '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2])
local answer = {}
for _, member in ipairs(members) do
  local found = redis.call('HMGET', ARGV[3] .. string.sub(member, ARGV[4] + 1), 'format', 'record')
  if found[2] then
    table.insert(answer, member)
    table.insert(answer, found[1])
    table.insert(answer, found[2])
  end
end
return answer
`;
