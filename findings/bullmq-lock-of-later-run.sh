#!/usr/bin/env bash
# A BullMQ worker delays a job, claims it again in another of its slots, and the processor of the earlier run returns a moment later.
# Guess: each claim has its own token, so the lock of the later run is renewed until that run ends.
# Seen: renewal is kept by job id. The end of the earlier run removes the entry of the later one, whose lock is then renewed no more: the job
# stalls after lockDuration although its worker is healthy, is claimed a third time and runs twice at once. The signal of the later run is
# not aborted, and no lockRenewalFailed is emitted. With skipLockRenewal and job.extendLock of each run, the same job runs twice and ends.
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

cat > runs.mjs <<'SCRIPT'
import { EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { DelayedError, Queue, Worker } from 'bullmq';

const version = createRequire(import.meta.url)('./node_modules/bullmq/package.json').version;
const connection = { path: 'redis.sock', maxRetriesPerRequest: null };
const lockDuration = 2000;

/** Runs one job: its first run delays it and ends after the second run has begun; the second run takes three lock durations. */
async function count(name, renewsItself) {
  const counts = { runs: 0, stalled: 0, renewalsFailed: 0, aborted: 0 };
  const events = new EventEmitter();
  const [laterRun, done] = [once(events, 'later-run'), once(events, 'done')];
  const processor = async (job, token, signal) => {
    counts.runs += 1;
    signal?.addEventListener('abort', () => (counts.aborted += 1));
    if (counts.runs === 1) {
      await job.moveToDelayed(Date.now(), token);
      await laterRun;
      throw new DelayedError();
    }
    events.emit('later-run');
    const renewal = renewsItself ? setInterval(() => job.extendLock(token, lockDuration), lockDuration / 3) : undefined;
    await sleep(3 * lockDuration);
    clearInterval(renewal);
    events.emit('done');
  };
  const options = { connection, concurrency: 4, lockDuration, stalledInterval: 500, maxStalledCount: 100 };
  const worker = new Worker(name, processor, { ...options, skipLockRenewal: renewsItself });
  worker.on('error', () => undefined);
  worker.on('stalled', () => (counts.stalled += 1));
  worker.on('lockRenewalFailed', () => (counts.renewalsFailed += 1));
  const queue = new Queue(name, { connection });
  await queue.add('job', {});
  await done;
  await worker.close(true);
  await queue.close();
  return counts;
}

console.log(`bullmq ${version}, Node ${process.version}, lockDuration ${lockDuration} ms`);
const own = await count('renewed-by-bullmq', false);
console.log('lock renewal of BullMQ:', JSON.stringify(own));
const each = await count('renewed-by-each-run', true);
console.log('lock renewal by each run:', JSON.stringify(each));
const isAsFound = own.runs > 2 && own.stalled > 0 && own.aborted === 0 && own.renewalsFailed === 0;
const isControl = each.runs === 2 && each.stalled === 0;
console.log(isAsFound && isControl ? 'As found: the end of the earlier run stops the renewal.' : 'The behavior has changed.');
process.exit(isAsFound && isControl ? 0 : 1);
SCRIPT
timeout 60 node runs.mjs
