#!/usr/bin/env bash
# A BullMQ worker whose Redis refuses writes (here by maxmemory with noeviction) claims again without any pause.
# Guess: the worker pauses after each refusal, as it does after a lost connection (runRetryDelay, 15 s), so 3 s bring one error event.
# Seen: a worker that starts on an empty queue emits hundreds of error events in 3 s, and every one is another claim. A worker that
# already waits for a job emits at most one per drainDelay (5 s). The pause is for connection errors only.
# Needs redis-server, Node and npm.
set -euo pipefail

folder=$(mktemp -d)
redis_pid=
cleanup() {
  if [ -n "$redis_pid" ]; then kill "$redis_pid" && wait "$redis_pid" || true; fi
  rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --prefix . bullmq@6.7.0 ioredis@6.0.0
redis-server --version
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --maxmemory-policy noeviction > redis.log &
redis_pid=$!
for _ in $(seq 50); do [ -S redis.sock ] && break; sleep 0.1; done

cat > count.mjs <<'SCRIPT'
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';

const version = createRequire(import.meta.url)('./node_modules/bullmq/package.json').version;
const connection = { path: 'redis.sock', maxRetriesPerRequest: null };
const admin = new Redis(connection);
const windowMs = 3000;

function startWorker(name) {
  const worker = new Worker(name, async () => {}, { connection });
  const errors = [];
  worker.on('error', ({ message }) => errors.push(message));
  return { worker, errors };
}

async function countErrors({ errors }) {
  const before = errors.length;
  await sleep(windowMs);
  return errors.length - before;
}

const waiting = startWorker('waiting');
await once(waiting.worker, 'drained');
await sleep(200);

await admin.config('SET', 'maxmemory', '1');
const starting = startWorker('starting');
await starting.worker.waitUntilReady();
const [waitingCount, startingCount] = await Promise.all([countErrors(waiting), countErrors(starting)]);
await admin.config('SET', 'maxmemory', '0');
await sleep(500);
const recoveredCount = await countErrors(starting);

console.log(`bullmq ${version}, Node ${process.version}, runRetryDelay ${starting.worker.opts.runRetryDelay} ms`);
console.log(`refusal: ${starting.errors[0]}`);
console.log(`error events in ${windowMs} ms, writes refused, worker that already waits for a job: ${waitingCount}`);
console.log(`error events in ${windowMs} ms, writes refused, worker that starts on an empty queue: ${startingCount}`);
console.log(`error events in ${windowMs} ms, writes accepted again: ${recoveredCount}`);

await Promise.all([waiting.worker.close(), starting.worker.close()]);
admin.disconnect();
// 60 events in 3 s are a mean distance of 50 ms, which no back-off of seconds explains even on a slow machine.
const isAsFound = startingCount >= 60 && waitingCount <= 1 && recoveredCount === 0;
console.log(isAsFound ? 'As found: no pause between refused claims.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 60 node count.mjs
