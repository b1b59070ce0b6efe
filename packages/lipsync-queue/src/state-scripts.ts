/**
 * The Lua scripts of the state store; each is one atomic step. A document is a hash: `version`, drawn anew with every
 * write, for the scripts; `format` and `document` (JSON) for us. A mark tells for a while that a write was made: when a
 * connection breaks after Redis did its work, the client sends the script again, and the second run recognizes its own
 * work, even where somebody has written the same documents since.
 */

/** KEYS documents. A flat list of version, format, document of each, nil where there is none. */
export const readStateScript = `
local answer = {}
for index, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'version', 'format', 'document')
  for field = 1, 3 do answer[3 * index - 3 + field] = found[field] end
end
return answer
`;

/**
 * KEYS mark, index, documents. ARGV version, format, milliseconds that the mark stays, then four of each document:
 * expected version (empty for none), keep, set or delete, JSON, member of the index.
 * 1: stored (now, or by this call before), 0: somebody else wrote one of the documents first.
 */
export const writeStateScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
for index = 3, #KEYS do
  local version = redis.call('HGET', KEYS[index], 'version') or ''
  if version ~= ARGV[4 * index - 8] then return 0 end
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[3])
for index = 3, #KEYS do
  local offset = 4 * index - 8
  local action = ARGV[offset + 1]
  if action == 'set' then
    redis.call('HSET', KEYS[index], 'version', ARGV[1], 'format', ARGV[2], 'document', ARGV[offset + 2])
    redis.call('ZADD', KEYS[2], 0, ARGV[offset + 3])
  elseif action == 'delete' then
    redis.call('DEL', KEYS[index])
    redis.call('ZREM', KEYS[2], ARGV[offset + 3])
  end
end
return 1
`;

/**
 * KEYS index. ARGV start ('[key' or '(key'), end ('(key'), limit, prefix of the documents' keys.
 * A flat list of key, format, document of each.
 */
export const listStateScript = `
local answer = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYLEX', 'LIMIT', 0, ARGV[3])) do
  local found = redis.call('HMGET', ARGV[4] .. member, 'format', 'document')
  table.insert(answer, member)
  table.insert(answer, found[1])
  table.insert(answer, found[2])
end
return answer
`;
