import {
  erasingInputPrefix,
  erasingJobsKey,
  inputJobsPrefix,
  jobCountsKey,
  endedJobsPrefix,
  jobKeyPrefix,
  retainedData,
  uploadedInputsKey,
} from './job-keys.ts';

/**
 * Lua scripts of the job store; each is atomic. A record is a hash with the fields `revision`, `status` and `writer`
 * for the scripts, and `format` and `record` (JSON) for the store. `writer` is the random id of the call that made the
 * last change: when a connection breaks after Redis ran a script, the client sends it again, and the second run
 * recognizes its own write instead of reporting a conflict.
 */

/**
 * Defines `refer(names, id)`, which counts a job as a user of stored inputs. It returns false, with nothing counted,
 * when one of them is being deleted.
 */
const referFunction = `
local function refer(names, id)
  for name in string.gmatch(names or '', '%S+') do
    if redis.call('EXISTS', '${erasingInputPrefix}' .. name) == 1 then return false end
  end
  for name in string.gmatch(names or '', '%S+') do
    redis.call('SADD', '${inputJobsPrefix}' .. name, id)
    redis.call('ZREM', '${uploadedInputsKey}', name)
  end
  return true
end
`;

/** Lua that makes each argument of a script a local variable of its name. */
function declareArguments(names: readonly string[]): string {
  return names.map((name, index) => `local ${name} = ARGV[${index + 1}]`).join('\n');
}

/** Defines `setEnd(id, ms)`, which stores when a job ended, so that retention finds it; an empty time removes it. */
const setEndFunction = `
local function setEnd(id, ms)
  for _, data in ipairs({${retainedData.map((data) => `'${data}'`).join(', ')}}) do
    if ms == '' then redis.call('ZREM', '${endedJobsPrefix}' .. data, id)
    else redis.call('ZADD', '${endedJobsPrefix}' .. data, ms, id) end
  end
end
`;

/**
 * Stores a new record.
 * KEYS: 1 record, 2 index of all jobs, 3 index of its status, 4 index of unfinished jobs.
 * ARGV: 1 writer, 2 revision, 3 status, 4 format, 5 record JSON, 6 index member, 7 channel of the job,
 * 8 artifact keys of its stored inputs, 9 further indexes, both separated by spaces.
 * Returns 1 when the record is stored, 0 when the id is taken, -1 when an input is being deleted.
 */
export const createScript = `${referFunction}
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'writer') == ARGV[1] and 1 or 0
end
if not refer(ARGV[8], string.match(ARGV[6], ':(.+)$')) then return -1 end
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'revision', ARGV[2], 'status', ARGV[3], 'format', ARGV[4], 'record', ARGV[5])
redis.call('ZADD', KEYS[2], 0, ARGV[6])
redis.call('ZADD', KEYS[3], 0, ARGV[6])
redis.call('ZADD', KEYS[4], 0, ARGV[6])
for index in string.gmatch(ARGV[9] or '', '%S+') do redis.call('ZADD', index, 0, ARGV[6]) end
redis.call('PUBLISH', ARGV[7], ARGV[2])
return 1
`;

/**
 * Stores a new record unless an equal request has created one. A key whose job was deleted is used again.
 * KEYS: 1 to 4 as above, 5 idempotency key. ARGV: 1 to 9 as above, 10 value of a hold of this request, 11 value to store,
 * 12 its lifetime in milliseconds. The record's field `idempotency` names the key.
 * Returns as above, or the value of the key when it belongs to another request or to an earlier job.
 */
export const createOnceScript = `
local known = redis.call('GET', KEYS[5])
if known and known ~= ARGV[10] and known ~= ARGV[11] then
  local job = string.match(known, '^job %S+ (%S+)$')
  if not job or redis.call('EXISTS', '${jobKeyPrefix}' .. job) == 1 then return known end
end
redis.call('SET', KEYS[5], ARGV[11], 'PX', ARGV[12])
local stored = (function() ${createScript} end)()
if stored == 1 then redis.call('HSET', KEYS[1], 'idempotency', KEYS[5]) end
return stored
`;

/** Arguments of `replaceScript`. Lists are separated by spaces; an empty text stands for none. */
const replaceArguments = [
  'writer',
  'expectedRevision',
  'revision',
  'status',
  'format',
  'record',
  'member',
  'id',
  /** Channel of the job. */
  'channel',
  /** `open`, `ended`, or `retried` when a job that had ended is queued again. */
  'phase',
  /** Channel to interrupt the current run. */
  'interruptChannel',
  'waitingPrefix',
  /** JSON. */
  'outboxEvent',
  /** Artifact keys of changed inputs, of a retried job all. */
  'inputs',
  /** Artifact keys that the record named before. */
  'releasedInputs',
  /** Key under which equal jobs find the result. */
  'resultKey',
  /** JSON, of the job of a batch. */
  'outcome',
  'endMs',
  /** Result of a delivery. */
  'deliveryResult',
  /** Fields of the hash of counts. */
  'counts',
  /** Channel of the batch of the job. */
  'batchChannel',
] as const;

/** Returns the arguments of `replaceScript` in their order. Pure. */
export function listReplaceArguments(
  values: Readonly<Record<(typeof replaceArguments)[number], string>>,
): readonly string[] {
  return replaceArguments.map((name) => values[name]);
}

/**
 * Replaces a record unless another call changed it first. A job that ends leaves the index of unfinished jobs and the
 * waiting set of its provider, equal jobs no longer follow it, and its end is added to the outbox.
 * KEYS: 1 record, 2 index of its old status, 3 index of its new status, 4 index of unfinished jobs, 5 hash of jobs that
 * wait for a slot, 6 outbox, 7 outcomes of its batch, or the record again for a single job, 8 counts of results of
 * deliveries.
 * The outbox is not trimmed: its consumers delete what they handled.
 * Returns 1 when the record is stored, 0 on a conflict or while a new input is being deleted, -2 for the retry of a job
 * that is being erased.
 */
export const replaceScript = `${referFunction}${setEndFunction}${declareArguments(replaceArguments)}
if redis.call('HGET', KEYS[1], 'revision') ~= expectedRevision then
  return redis.call('HGET', KEYS[1], 'writer') == writer and 1 or 0
end
if phase == 'retried' and redis.call('SISMEMBER', '${erasingJobsKey}', id) == 1 then return -2 end
if not refer(inputs, id) then return 0 end
for name in string.gmatch(releasedInputs, '%S+') do
  redis.call('SREM', '${inputJobsPrefix}' .. name, id)
  -- The jobs that named it may have been deleted meanwhile.
  if redis.call('EXISTS', '${inputJobsPrefix}' .. name) == 0 then redis.call('ZADD', '${uploadedInputsKey}', 0, name) end
end
redis.call('HSET', KEYS[1], 'writer', writer, 'revision', revision, 'status', status, 'format', format, 'record', record)
if KEYS[2] ~= KEYS[3] then
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZADD', KEYS[3], 0, member)
end
if KEYS[2] ~= KEYS[3] and (phase == 'ended' or phase == 'retried') then setEnd(id, endMs) end
if phase == 'retried' then redis.call('ZADD', KEYS[4], 0, member) end
if phase == 'ended' then
  local led = redis.call('HGET', KEYS[1], 'leads')
  if led and redis.call('GET', led) == id then redis.call('DEL', led) end
  redis.call('HDEL', KEYS[1], 'leads', 'follows')
  redis.call('ZREM', KEYS[4], member)
  local provider = redis.call('HGET', KEYS[5], id)
  if provider then
    redis.call('ZREM', waitingPrefix .. provider, id)
    redis.call('HDEL', KEYS[5], id)
  end
end
if resultKey ~= '' then
  redis.call('SET', resultKey, id)
  redis.call('HSET', KEYS[1], 'result', resultKey)
end
if outcome ~= '' and redis.call('HGET', KEYS[7], id) ~= outcome then
  redis.call('HSET', KEYS[7], id, outcome)
  redis.call('PUBLISH', batchChannel, id)
end
if deliveryResult ~= '' then redis.call('HINCRBY', KEYS[8], deliveryResult, 1) end
for field in string.gmatch(counts, '%S+') do redis.call('HINCRBY', '${jobCountsKey}', field, 1) end
if outboxEvent ~= '' then redis.call('XADD', KEYS[6], '*', 'event', outboxEvent) end
redis.call('PUBLISH', channel, revision)
if interruptChannel ~= '' then redis.call('PUBLISH', interruptChannel, id) end
return 1
`;

/**
 * Reads records that are in all of the given indexes, newest first. It walks the smallest index and looks every member up in
 * the others. It stops after a number of members, so that Redis serves other clients.
 * KEYS: indexes. ARGV: 1 latest member ('+', '(member' or '[member'), 2 earliest member ('-' or '[member'), 3 limit,
 * 4 length of a member before the id, 5 maximum number of members, 6 and more texts of which the record JSON contains one;
 * none for all records.
 * Returns a flat list: the member after which the indexes continue, or an empty text at their end, then member, format
 * and record JSON of each entry.
 */
export const listScript = `
local smallest = 1
for index = 2, #KEYS do
  if redis.call('ZCARD', KEYS[index]) < redis.call('ZCARD', KEYS[smallest]) then smallest = index end
end
local function isInAll(member)
  for index = 1, #KEYS do
    if index ~= smallest and not redis.call('ZSCORE', KEYS[index], member) then return false end
  end
  return true
end
local function mayMatch(text)
  for index = 6, #ARGV do
    if string.find(text, ARGV[index], 1, true) then return true end
  end
  return #ARGV < 6
end
local limit = tonumber(ARGV[3])
local maximum = tonumber(ARGV[5])
local step = #KEYS == 1 and #ARGV < 6 and limit or 250
local answer = {''}
local start, inspected = ARGV[1], 0
while true do
  local members = redis.call('ZRANGE', KEYS[smallest], start, ARGV[2], 'BYLEX', 'REV', 'LIMIT', 0, step)
  for _, member in ipairs(members) do
    inspected = inspected + 1
    local found = isInAll(member) and redis.call('HMGET', '${jobKeyPrefix}' .. string.sub(member, ARGV[4] + 1), 'format', 'record')
    if found and found[2] and mayMatch(found[2]) then
      table.insert(answer, member)
      table.insert(answer, found[1])
      table.insert(answer, found[2])
    end
    if #answer > 3 * limit or inspected >= maximum then
      answer[1] = member
      return answer
    end
  end
  if #members < step then return answer end
  start = '(' .. members[#members]
end
`;

/**
 * Adds stored jobs to indexes, except those that were deleted meanwhile. ARGV: for each job its id, its index member, its
 * indexes, separated by spaces, and the time of its end or an empty text.
 */
export const indexJobsScript = `${setEndFunction}
for position = 1, #ARGV, 4 do
  if redis.call('EXISTS', '${jobKeyPrefix}' .. ARGV[position]) == 1 then
    for index in string.gmatch(ARGV[position + 2], '%S+') do redis.call('ZADD', index, 0, ARGV[position + 1]) end
    if ARGV[position + 3] ~= '' then setEnd(ARGV[position], ARGV[position + 3]) end
  end
end
return 1
`;
