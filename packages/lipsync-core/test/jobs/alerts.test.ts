import { testAttempt } from '../../src/testing/index.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodes, errorPolicies, LipsyncError } from '../../src/errors/index.ts';
import type { Logger } from '../../src/contract/ports.ts';
import { makeTake, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const anywhere = { signal: new AbortController().signal, canRun: () => true };
const running = testAttempt({});
const failed = (code: Attempt['code']): Attempt => ({
  ...running,
  outcome: 'failed',
  code,
  message: 'The vendor sent an unknown status.',
  endedAtMs: 2,
});
const local: Attempt = { ...running, provider: 'wav2lip' };

let bench: RunnerBench;
/** Fields of each error line in the log. */
let lines: object[];
/** Level and fields of each line about a job that ended without an output. */
let endings: { readonly level: string; readonly fields: object }[];

beforeEach(async () => {
  bench = await openRunnerBench();
  lines = [];
  endings = [];
  await bench.accept();
});
afterEach(() => bench.remove());

function run(script: Script): Promise<unknown> {
  const ignore = (): void => undefined;
  const write =
    (level: string): Logger['info'] =>
    (fields, message) => {
      if (level === 'error') lines.push(fields);
      if (message.includes('did not complete') || message.startsWith('a job failed')) endings.push({ level, fields });
    };
  const logger: Logger = { debug: ignore, info: write('info'), warn: write('warn'), error: write('error') };
  return bench.runner(script, { logger }).run('job_1', anywhere);
}

describe('Alerts for attempts', () => {
  it.each(['credentials_rejected', 'provider_balance_exhausted', 'provider_protocol', 'internal'] as const)(
    'An attempt that fails with %s is reported once, even if another attempt succeeds.',
    async (code) => {
      await run(async (input, context) => {
        await context.saveAttempts([running]);
        await context.saveAttempts([failed(code)]);
        await context.saveAttempts([failed(code), local]);
        await context.saveAttempts([failed(code), { ...local, outcome: 'succeeded', endedAtMs: 3 }]);
        return makeTake(input, context);
      });
      expect(lines).toEqual([
        { jobId: 'job_1', provider: 'heygen', code, reason: 'The vendor sent an unknown status.', alert: true },
      ]);
    },
  );

  it('A later run of the job does not repeat the alert.', async () => {
    await run(async (_, { saveAttempts }) => {
      await saveAttempts([failed('provider_protocol')]);
      return { type: 'waiting', untilMs: bench.time.nowMs };
    });
    await run((input, context) =>
      context.saveAttempts([...context.earlierAttempts, local]).then(() => makeTake(input, context)),
    );
    expect(lines).toHaveLength(1);
  });

  it('A job that fails with the error of its last attempt adds no alert.', async () => {
    await run(async (_, { saveAttempts }) => {
      await saveAttempts([failed('provider_protocol')]);
      throw new LipsyncError('provider_protocol', 'The vendor sent an unknown status.');
    });
    expect(lines).toHaveLength(1);
  });
});

describe('Alerts for jobs', () => {
  it('A job that fails without an attempt is reported.', async () => {
    await run(() => Promise.reject(new Error('A fault of ours.')));
    expect(lines).toEqual([expect.objectContaining({ jobId: 'job_1', provider: null, code: 'internal', alert: true })]);
  });
});

describe('The log line about a job that ended without an output', () => {
  it('An error that the request caused has code and message, and no stack.', async () => {
    const cause = new Error('ffmpeg exited');
    await run(() => Promise.reject(new LipsyncError('clip_unusable', 'No face.', { cause })));
    const job = { jobId: 'job_1', kind: 'lipsync', owner: null, provider: null };
    const end = { status: 'failed', durationMs: 0, costUsd: 0, code: 'clip_unusable', reason: 'No face.' };
    expect(endings).toEqual([{ level: 'info', fields: { ...job, ...end } }]);
  });

  it('An internal error is one line with the stack of its cause.', async () => {
    const fault = new TypeError('A fault of ours.');
    await run(() => Promise.reject(fault));
    expect(endings).toMatchObject([{ level: 'error', fields: { code: 'internal', error: fault } }]);
  });

  it('An error of this machine is one line with one stack.', async () => {
    const cause = new Error('ffmpeg exited');
    await run(() => Promise.reject(new LipsyncError('media_failed', 'Decoding failed.', { cause })));
    expect(endings).toMatchObject([{ level: 'warn', fields: { code: 'media_failed', error: cause } }]);
  });
});

it('No other error is reported as an alert.', async () => {
  for (const code of errorCodes.filter((one) => !errorPolicies[one].alert)) {
    await run(async (_, { saveAttempts, earlierAttempts }) => {
      await saveAttempts([...earlierAttempts, failed(code)]);
      return { type: 'waiting', untilMs: bench.time.nowMs };
    });
  }
  await run(() => Promise.reject(new LipsyncError('clip_unusable', 'No face.')));
  expect(lines).toEqual([]);
});
