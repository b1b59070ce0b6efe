#!/usr/bin/env bash
# onnxruntime-node computes on the thread that calls run(), so that the event loop stops until the model has run.
# Guess: InferenceSession.run() returns a promise because it computes on a thread of its own: timers and sockets go on meanwhile, and
# two sessions with one thread each run at the same time on two cores.
# Seen: no timer fires during a run, and two runs that are started together take as long as one after the other. In a worker thread,
# the same run leaves the timers of the main thread alone.
# Needs Node 22 or later, npm and two cores.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# Its install script only fetches libraries for GPUs.
npm install --silent --ignore-scripts --no-audit --no-fund --prefix . onnxruntime-node@1.30.0

cat > measure.mjs <<'SCRIPT'
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [size, layers] = [512, 60];
const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);
const number = (field, value) => [field << 3, ...varint(value)];
const bytes = (field, content) => [(field << 3) | 2, ...varint(content.length), ...content];
const text = (field, value) => bytes(field, [...Buffer.from(value)]);
const shape = bytes(2, [...bytes(1, number(1, size)), ...bytes(1, number(1, size))]);
const matrix = (field, name) => bytes(field, [...text(1, name), ...bytes(2, bytes(1, [...number(1, 1), ...shape]))]);
const layer = (index) => bytes(1, [...text(1, `y${index}`), ...text(1, 'y0'), ...text(2, `y${index + 1}`), ...text(4, 'MatMul')]);
const nodes = Array.from({ length: layers }, (_, index) => layer(index)).flat();
const graph = [...nodes, ...text(2, 'product'), ...matrix(11, 'y0'), ...matrix(12, `y${layers}`)];
const model = Uint8Array.from([...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 13))]);

async function open() {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1, executionProviders: ['cpu'] });
  const feeds = { y0: new Tensor('float32', new Float32Array(size * size), [size, size]) };
  const run = () => session.run(feeds);
  await run();
  return run;
}

/** Milliseconds of some work, and the longest time without a timer of 1 ms. */
async function watch(work) {
  let [last, longest] = [performance.now(), 0];
  const tick = () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  };
  const timer = setInterval(tick, 1);
  const startedMs = performance.now();
  await work();
  const took = performance.now() - startedMs;
  tick();
  clearInterval(timer);
  return { took: Math.round(took), longest: Math.round(longest) };
}

if (!isMainThread) {
  const run = await open();
  parentPort.on('message', async () => parentPort.postMessage(await run().then(() => 'done')));
  parentPort.postMessage('ready');
} else {
  const [first, second] = [await open(), await open()];
  const one = await watch(first);
  const two = await watch(() => Promise.all([first(), second()]));
  const worker = new Worker(new URL(import.meta.url));
  const answer = () => new Promise((resolve) => worker.once('message', resolve));
  await answer();
  const apart = await watch(() => {
    worker.postMessage('run');
    return answer();
  });
  console.log(`one run: ${one.took} ms, of which ${one.longest} without a timer`);
  console.log(`two runs together: ${two.took} ms`);
  console.log(`one run in a worker thread: ${apart.took} ms, of which ${apart.longest} without a timer`);
  const isBlocked = one.longest > 0.9 * one.took && two.took > 1.6 * one.took && apart.longest < 0.5 * apart.took;
  process.exit(isBlocked ? 0 : 1);
}
SCRIPT
node -e 'console.log(`onnxruntime-node ${require("./node_modules/onnxruntime-node/package.json").version}, Node ${process.version}`)'
node measure.mjs
