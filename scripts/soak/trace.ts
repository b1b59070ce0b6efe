import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '@lipsync/core/contract';
import { startHeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { writeMouthModel } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import type { InputPaths } from '../lib/create-job.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { paceByReads } from './heygen-stack.ts';
import { killRunning } from './processes.ts';
import { startScratchStack, type ScratchStack } from './scratch-stack.ts';
import { drawTree, TraceCollector, type CollectedSpan } from './trace-collector.ts';
import { WebhookReceiver, webhookSecret } from './webhook-receiver.ts';

const timeLimitMs = 10 * 60_000;
const exportLimitMs = 60_000;

/** Each span that the trace of a job must have, with its parent and the process that records it. */
const expected: readonly (readonly [name: string, parent: string | null, service: string])[] = [
  ['POST /lipsync', null, 'lipsync-api'],
  ['add lipsync-cloud.lipsync', 'POST /lipsync', 'lipsync-api'],
  ['process lipsync-cloud', 'add lipsync-cloud.lipsync', 'lipsync-worker'],
  ['run lipsync job', 'process lipsync-cloud', 'lipsync-worker'],
  ['fetch inputs', 'run lipsync job', 'lipsync-worker'],
  ['probe clip', 'run lipsync job', 'lipsync-worker'],
  ['probe speech', 'run lipsync job', 'lipsync-worker'],
  ['attempt heygen', 'run lipsync job', 'lipsync-worker'],
  ['heygen POST /v3/lipsyncs', 'attempt heygen', 'lipsync-worker'],
  ['attempt wav2lip', 'run lipsync job', 'lipsync-worker'],
  ['render wav2lipTask', 'attempt wav2lip', 'lipsync-worker'],
  ['wav2lipTask', 'render wav2lipTask', 'lipsync-render'],
  ['track face', 'wav2lipTask', 'lipsync-render'],
  ['draw and encode', 'wav2lipTask', 'lipsync-render'],
  ['draw faces', 'wav2lipTask', 'lipsync-engine'],
  ['publish output', 'run lipsync job', 'lipsync-worker'],
  ['deliver webhook', 'run webhook job', 'lipsync-worker'],
];

/**
 * Runs a job that HeyGen fails and Wav2Lip completes, and one whose worker is killed while it renders. Prints the trace
 * of each, as a collector received it, and checks its spans, parents and links.
 */
export async function proveTrace(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-trace-'));
  const collector = await TraceCollector.start();
  const receiver = await WebhookReceiver.start();
  const standin = await startHeygenStandin({ settings: { mouth: 'old', pace: paceByReads } });
  standin.control.addFaults({
    match: { route: 'create' },
    fault: { kind: 'fail', reason: 'download_failed' },
    times: 'always',
  });
  const modelPath = join(folder, 'wav2lip.onnx');
  await writeMouthModel(modelPath, { cropSizePx: 96 });
  const environment = {
    ...standinEnvironment(standin),
    ...collector.environment,
    WAV2LIP_MODEL_PATH: modelPath,
    LIPSYNC_GPU_ENABLED: 'false',
    LIPSYNC_QUALITY: 'off',
    LIPSYNC_WEBHOOK_SECRETS: webhookSecret,
    LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.1',
    QUEUE_LOCK_MS: '4000',
    QUEUE_STALLED_INTERVAL_MS: '500',
  };
  const stack = await startScratchStack(environment, signal);
  try {
    const proof = { stack, collector, signal, webhookUrl: receiver.url };
    const sample = await shortenSample(folder, 2);
    return (await proveFailOver(proof, sample)) && (await proveKill(proof, sample));
  } finally {
    await stack.stop();
    await standin.close();
    receiver.stop();
    collector.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Proof {
  readonly stack: ScratchStack;
  readonly collector: TraceCollector;
  readonly webhookUrl: string;
  readonly signal: AbortSignal;
}

async function proveFailOver(proof: Proof, sample: InputPaths): Promise<boolean> {
  const { stack, webhookUrl } = proof;
  const job = await stack.submit(sample, { webhook_url: webhookUrl });
  const ended = await stack.waitFor(job.id);
  const spans = await collectTrace(proof, job, (found) => found.some(({ name }) => name === 'deliver webhook'));
  console.log(`\`\`\`text\n${drawTree(spans)}\n\`\`\``);
  const missing = expected.filter((row) => !hasSpan(spans, row));
  for (const row of missing) console.log(`missing: ${row.join(' < ')}`);
  const services = new Set(spans.map(({ service }) => service));
  const ofLog = stack.lines.filter((line) => line.includes(job.id) && line.includes(spans[0]?.traceId ?? '?'));
  console.log(
    `\n${ended.status} by ${ended.method_used}; ${spans.length} spans, 1 trace, ${services.size} processes, ` +
      `${ofLog.length} log lines with job and trace id; ${missing.length} spans missing`,
  );
  return ended.method_used === 'wav2lip' && missing.length === 0 && services.size === 4 && ofLog.length > 0;
}

async function proveKill(proof: Proof, sample: InputPaths): Promise<boolean> {
  const { stack } = proof;
  const job = await stack.submit(sample, { method: 'preview' });
  let kills = 0;
  const ended = await stack.waitFor(job.id, ({ stage }) => {
    if (stage === 'rendering' && kills === 0) kills = killRunning('apps/worker/src/main.ts');
  });
  const isEnd = ({ attributes }: CollectedSpan): boolean => attributes['lipsync.job.status'] === 'completed';
  const spans = await collectTrace(proof, job, (found) => found.some(isEnd));
  console.log(`\n\`\`\`text\n${drawTree(spans)}\n\`\`\``);
  const resumed = spans.filter(({ name, links }) => name === 'run lipsync job' && links.length > 0);
  // The span of the killed run was never sent, but its children were.
  const isLinked = resumed.some(({ links }) => spans.some(({ parentId = '' }) => links.includes(parentId)));
  console.log(`\n${ended.status} after ${kills} kill; ${resumed.length} run linked to the one before`);
  return ended.status === 'completed' && kills > 0 && isLinked;
}

/** Waits until the spans of the trace of a job have arrived. */
async function collectTrace(
  { collector, signal }: Proof,
  job: JobView,
  isComplete: (spans: readonly CollectedSpan[]) => boolean,
): Promise<readonly CollectedSpan[]> {
  const untilMs = performance.now() + exportLimitMs;
  for (;;) {
    const run = collector.spans.find(({ attributes }) => attributes['lipsync.job.id'] === job.id);
    const spans = run ? collector.ofTrace(run.traceId) : [];
    if (isComplete(spans) || performance.now() > untilMs) {
      // For the last spans of the other processes.
      await sleep(2_000, undefined, { signal });
      return run ? collector.ofTrace(run.traceId) : [];
    }
    await sleep(200, undefined, { signal });
  }
}

function hasSpan(spans: readonly CollectedSpan[], [name, parent, service]: (typeof expected)[number]): boolean {
  return spans.some(
    (span) =>
      span.name === name &&
      span.service === service &&
      (parent === null || spans.some(({ id, name: parentName }) => id === span.parentId && parentName === parent)),
  );
}
