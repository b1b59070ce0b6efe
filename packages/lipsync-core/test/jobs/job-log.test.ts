import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Logger } from '../../src/contract/ports.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import { testAttempt } from '../../src/testing/index.ts';
import { makeTake, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';

const anywhere = { signal: new AbortController().signal, canRun: () => true };
const traceId = 'a'.repeat(32);
const ids = { jobId: 'job_1', requestId: 'request-1', traceId, kind: 'lipsync', owner: 'shop' };

let bench: RunnerBench;
let lines: object[];
beforeEach(async () => {
  bench = await openRunnerBench();
  lines = [];
  const trace = { requestId: 'request-1', traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };
  await bench.accept({ userId: 'user-7', metadata: { title: 'Our film' } }, { ...trace, owner: 'shop' });
});
afterEach(() => bench.remove());

function run(script: Script): Promise<unknown> {
  const write: Logger['info'] = (fields, message) => void lines.push({ ...fields, message });
  return bench
    .runner(script, { logger: { debug: write, info: write, warn: write, error: write } })
    .run('job_1', anywhere);
}

it('A job has one log line at its start and one at its end, however many runs it took.', async () => {
  const attempt = testAttempt({
    provider: 'heygen',
    outcome: 'failed',
    code: 'provider_unavailable',
    costMicros: 250_000,
  });
  bench.time.nowMs += 500;
  await run(async () => ({ type: 'waiting', untilMs: bench.time.nowMs }));
  bench.time.nowMs += 2_000;
  await run(async (input, context) => {
    await context.saveAttempts([attempt]);
    return makeTake(input, context);
  });
  expect(lines).toEqual([
    { ...ids, provider: null, waitMs: 500, message: 'the job started' },
    {
      ...ids,
      provider: 'preview',
      status: 'completed',
      durationMs: 2_000,
      costUsd: 0.25,
      code: null,
      message: 'the job completed',
    },
  ]);
  expect(JSON.stringify(lines)).not.toMatch(/user-7|Our film|the clip|the speech/);
});

it('The reason in the line about a failed job has no URL.', async () => {
  await run(() =>
    Promise.reject(new LipsyncError('clip_unusable', 'video_url: https://cdn.example/a.mp4?key=1 has no face.')),
  );
  expect(lines.at(-1)).toMatchObject({ ...ids, status: 'failed', reason: 'video_url: [URL] has no face.' });
});
