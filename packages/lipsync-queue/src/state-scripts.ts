/**
 * Lua scripts of the state store; each is atomic. A document is a hash with the field `version`, random for every
 * write, for the scripts, and the fields `format` and `document` (JSON) for the store. A mark records for a while that
 * a write was made: when a connection breaks after Redis ran a script, the client sends it again, and the second run
 * recognizes its own write even if another process has written the same documents since.
 */

/**
 * Reads documents.
 * KEYS: the documents. Returns a flat list of version, format and document JSON of each, nil for a missing document.
 */
export const readStateScript = `
local answer = {}
for index, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'version', 'format', 'document')
  for field = 1, 3 do answer[3 * index - 3 + field] = found[field] end
end
return answer
`;

/**
 * Writes documents unless one of them changed since it was read.
 * KEYS: 1 mark of this call, 2 index of documents, then the documents.
 * ARGV: 1 new version, 2 format, 3 lifetime of the mark in ms, then four per document: expected version (empty for a
 * missing document), 'keep', 'set' or 'delete', document JSON, member of the index.
 * Returns 1 when the documents are written, 0 on a conflict.
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
 * Lists documents in the order of their keys.
 * KEYS: 1 index. ARGV: 1 start ('[key' or '(key'), 2 end ('(key'), 3 limit, 4 prefix of document keys.
 * Returns a flat list of key, format and document JSON of each document.
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
