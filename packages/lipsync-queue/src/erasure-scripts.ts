import { endedJobsPrefix, erasingInputPrefix, inputJobsPrefix, jobKeyPrefix, retainedData } from './job-keys.ts';

/** Lua scripts of the erasure of jobs; each is atomic and may run twice. */

/**
 * Ends the use of stored files by a job, also of an output that it shares, and marks those that no other job uses, so
 * that no new job can use them while they are deleted. KEYS: 1 record. ARGV: 1 job id, 2 artifact keys, separated by
 * spaces, 3 lifetime of a marker in milliseconds, 4 '1' to include an output that the job shares. Returns the marked
 * keys.
 */
export const beginErasureScript = `
local unused = {}
local names = ARGV[2] .. ' ' .. (ARGV[4] == '1' and redis.call('HGET', KEYS[1], 'shares') or '')
for name in string.gmatch(names, '%S+') do
  redis.call('SREM', '${inputJobsPrefix}' .. name, ARGV[1])
  if redis.call('SCARD', '${inputJobsPrefix}' .. name) == 0 then
    redis.call('SET', '${erasingInputPrefix}' .. name, ARGV[1], 'PX', ARGV[3])
    table.insert(unused, name)
  end
end
return unused
`;

/**
 * Deletes a record whose files are deleted, with its idempotency entry. If equal jobs reuse its result, another job
 * that shares the output takes its place. KEYS: 1 record, 2 set of jobs that are being erased, 3 number of erasures that
 * are not yet out of the append-only file, 4 and more indexes of jobs. ARGV: 1 job id, 2 index member, 3 artifact keys,
 * separated by spaces.
 */
export const endErasureScript = `
for index = 4, #KEYS do redis.call('ZREM', KEYS[index], ARGV[2]) end
local shared = redis.call('HGET', KEYS[1], 'shares')
for name in string.gmatch(ARGV[3] .. ' ' .. (shared or ''), '%S+') do
  redis.call('SREM', '${inputJobsPrefix}' .. name, ARGV[1])
  local marker = '${erasingInputPrefix}' .. name
  if redis.call('GET', marker) == ARGV[1] then redis.call('DEL', marker) end
end
local request = redis.call('HGET', KEYS[1], 'idempotency')
local used = request and redis.call('GET', request)
if used and string.match(used, '^job %S+ (%S+)$') == ARGV[1] then redis.call('DEL', request) end
local entry = redis.call('HGET', KEYS[1], 'result')
if entry and redis.call('GET', entry) == ARGV[1] then
  local output = shared or string.match(ARGV[3], '^%S+')
  local heir = redis.call('SRANDMEMBER', '${inputJobsPrefix}' .. output)
  if heir then
    redis.call('SET', entry, heir)
    redis.call('HSET', '${jobKeyPrefix}' .. heir, 'result', entry)
  else
    redis.call('DEL', entry)
  end
end
${retainedData.map((data) => `redis.call('ZREM', '${endedJobsPrefix}${data}', ARGV[1])`).join('\n')}
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('INCR', KEYS[3])
return 1
`;

/**
 * Counts a stored job as a user of inputs, unless it is gone or being erased. KEYS: 1 record, 2 set of jobs that are
 * being erased. ARGV: 1 job id, 2 artifact keys, separated by spaces.
 */
export const countInputsScript = `
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 0 end
for name in string.gmatch(ARGV[2], '%S+') do redis.call('SADD', '${inputJobsPrefix}' .. name, ARGV[1]) end
return 1
`;
