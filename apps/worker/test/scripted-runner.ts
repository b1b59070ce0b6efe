import {
  applyJobEvent,
  LipsyncError,
  newJobRecord,
  type JobEvent,
  type JobRecord,
  type JobRunner,
} from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';

/** One call of the runner, which runs until the test ends it. */
export interface ScriptedRun {
  readonly jobId: string;
  readonly signal: AbortSignal;
  complete(): void;
  fail(code: 'clip_unusable', message: string): void;
  cancel(): void;
  /** As a runner whose store is unavailable. */
  throw(error: Error): void;
}

export interface ScriptedRunner extends Pick<JobRunner, 'run'> {
  readonly runs: readonly ScriptedRun[];
}

/** A runner whose runs the test ends; like the real one it throws when its signal aborts. */
export function createScriptedRunner(): ScriptedRunner {
  const runs: ScriptedRun[] = [];
  return {
    runs,
    run(jobId, { signal }) {
      return new Promise<JobRecord>((resolve, reject) => {
        const end = (event: JobEvent): void => resolve(applyJobEvent(recordOf(jobId), event));
        signal.addEventListener('abort', () => reject(new LipsyncError('canceled', 'handed back')), { once: true });
        runs.push({
          jobId,
          signal,
          throw: reject,
          complete: () =>
            end({
              type: 'completed',
              run: 0,
              atMs: 1,
              warnings: [],
              result: {
                methodUsed: 'preview',
                degraded: true,
                cached: false,
                durationMs: 1,
                outputKey: 'outputs/x/output.mp4',
              },
            }),
          fail: (code, message) => end({ type: 'failed', run: 0, atMs: 1, code, message, warnings: [] }),
          cancel: () => end({ type: 'canceled', atMs: 1 }),
        });
      });
    },
  };
}

function recordOf(id: string): JobRecord {
  const input = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
  return newJobRecord({
    id,
    options: lipsyncOptionsSchema.parse({}),
    video: input,
    audio: input,
    owner: null,
    nowMs: 1,
  });
}
