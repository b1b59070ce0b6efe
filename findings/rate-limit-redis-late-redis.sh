#!/usr/bin/env bash
# A rate limit in Redis that starts before Redis does never limits, also after Redis has come.
# Guess: the store of rate-limit-redis loads its script again when Redis is back, since it does so for a Redis that has lost the script;
# with passOnStoreError, requests pass until then and are limited afterwards.
# Seen: the store keeps the rejected promise of the first SCRIPT LOAD and repeats the load only after a NOSCRIPT reply. While the promise is
# rejected no command is sent, so no such reply comes: each request fails in the store and passes, until the process restarts.
# A limit that starts with Redis works, also across a restart of Redis that loses the script.
# Needs Node 22.19 or later, npm and redis-server.
set -euo pipefail

folder=$(mktemp -d)
redis=''
trap '[ -z "$redis" ] || kill "$redis"; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . express@5.3.0 express-rate-limit@8.7.5 rate-limit-redis@6.0.1 ioredis@6.0.0
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')

start_redis() {
  : > redis.log
  redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" >redis.log &
  redis=$!
  until grep -q 'Ready to accept' redis.log; do sleep 0.1; done
}
stop_redis() { kill "$redis"; wait "$redis" || true; redis=''; }

cat > limit.mjs <<'SCRIPT'
import { createInterface } from 'node:readline';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { RedisStore } from 'rate-limit-redis';
import { Redis } from 'ioredis';

const redis = new Redis(Number(process.argv[2]), '127.0.0.1', { maxRetriesPerRequest: 0, retryStrategy: () => 100 });
redis.on('error', () => {});
const store = new RedisStore({ sendCommand: (...command) => redis.call(...command) });
const logger = { warn: () => {}, error: () => {} };
const app = express().use(rateLimit({ windowMs: 60_000, limit: 2, store, passOnStoreError: true, logger, validate: false }));
app.get('/', (_request, response) => response.end('ok'));
const server = app.listen(0, '127.0.0.1', () => console.log('listening'));
// One line per line of input: whether Redis answers, and the statuses of four requests.
for await (const _ of createInterface({ input: process.stdin })) {
  const answer = await redis.ping().catch(() => 'no Redis');
  const statuses = [];
  for (let sent = 0; sent < 4; sent += 1) statuses.push((await fetch(`http://127.0.0.1:${server.address().port}`)).status);
  console.log(answer, ...statuses);
}
process.exit();
SCRIPT

node -e 'for (const name of ["express-rate-limit", "rate-limit-redis", "ioredis"]) console.log(name, JSON.parse(require("fs").readFileSync(`node_modules/${name}/package.json`)).version)'
redis-server --version | cut -d ' ' -f 1-3

# Sends a line to the limit and prints its answer under a title.
ask() { echo >&"${LIMIT[1]}"; read -r answer <&"${LIMIT[0]}"; echo "$1: $answer"; }

coproc LIMIT { node limit.mjs "$port"; }
read -r _ <&"${LIMIT[0]}"
ask 'started without Redis'; without=$answer
start_redis; sleep 1
ask 'Redis has come'; late=$answer
exec {LIMIT[1]}>&-; wait "$LIMIT_PID"

coproc LIMIT { node limit.mjs "$port"; }
read -r _ <&"${LIMIT[0]}"
ask 'started with Redis'; with=$answer
stop_redis; start_redis; sleep 1
ask 'Redis was restarted and lost the script'; again=$answer
exec {LIMIT[1]}>&-; wait "$LIMIT_PID"

[ "$without" = 'no Redis 200 200 200 200' ] && [ "$late" = 'PONG 200 200 200 200' ]
[ "$with" = 'PONG 200 200 429 429' ] && [ "$again" = 'PONG 200 200 429 429' ]
