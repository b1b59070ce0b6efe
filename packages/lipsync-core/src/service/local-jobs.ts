import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LipsyncOptions } from '../contract/index.ts';
import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { deadlineSignal, type DeadlineSignal } from '../jobs/deadline-signal.ts';
import { applyJobEvent, type JobEvent } from '../jobs/job-events.ts';
import type { JobRecord } from '../jobs/job-record.ts';
import type { LipsyncPipeline, PipelineInput, PipelineResult } from '../jobs/lipsync-pipeline.ts';
import { newJobRecord } from '../jobs/job-record.ts';
import { toProgressUpdate, type ProgressUpdate } from '../jobs/progress-writer.ts';
import type { FetchedInputs } from '../jobs/input-fetcher.ts';
import { endWithoutOutput, toJobResult } from '../jobs/run-end.ts';
import { hashFile } from '../storage/file-hash.ts';
import { failStore, StoreFailure } from '../storage/store-failure.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, type Workspace } from '../jobs/workspace.ts';
import type { Clock, IdSource } from '../contract/ports.ts';
import type { ProviderPlan } from '../scheduling/execution-plan.ts';
import type { OutputFiles } from './output-file.ts';
import { requireReadable } from './readable-input.ts';
import { unfinishedJobKey, type UnfinishedJob, type UnfinishedJobs } from './unfinished-jobs.ts';
import type { Attempt } from '../providers/attempt.ts';

export interface LocalJobInput {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Replace an output that exists. */
  readonly overwrite: boolean;
  readonly options: LipsyncOptions;
}

export interface LocalJobContext {
  readonly signal?: AbortSignal;
  onProgress?(update: ProgressUpdate): void;
}

export interface LocalJobOutcome {
  readonly record: JobRecord;
  /** Why the job did not complete; undefined when it did. */
  readonly error: LipsyncError | undefined;
}

/** Runs jobs inside this process: no queue, no server, no Redis. */
export interface LocalJobs {
  /** Never throws for what goes wrong with the job itself: that is in the outcome. Leaves no file behind unless it completed. */
  run(input: LocalJobInput, context: LocalJobContext): Promise<LocalJobOutcome>;
}

export interface LocalJobsDependencies {
  readonly pipeline: LipsyncPipeline;
  readonly outputFiles: OutputFiles;
  readonly unfinished: UnfinishedJobs;
  readonly workFolder: string;
  readonly clock: Clock;
  readonly ids: IdSource;
}

export function createLocalJobs(dependencies: LocalJobsDependencies): LocalJobs {
  const { clock, ids } = dependencies;
  return {
    async run(input, context) {
      const reference = (path: string) => ({ kind: 'artifact', key: 'local', name: path }) as const;
      const stop = stopSignal(input.options.deadlineMs ?? null, context.signal);
      const job: RunningJob = {
        record: newJobRecord({
          id: ids.jobId(),
          options: input.options,
          owner: null,
          nowMs: clock.nowMs(),
          video: reference(input.videoPath),
          audio: reference(input.audioPath),
        }),
        append(event) {
          job.record = applyJobEvent(job.record, event);
        },
        signal: stop.signal,
        onProgress: context.onProgress,
      };
      job.append({ type: 'run_started', atMs: clock.nowMs() });
      try {
        await runRemembered(dependencies, input, job);
        return { record: job.record, error: undefined };
      } catch (thrown) {
        const error = stop.signal.aborted
          ? abortError(stop.signal)
          : toLipsyncError(thrown instanceof StoreFailure ? thrown.cause : thrown);
        job.append(endWithoutOutput(error, job.record, clock.nowMs()));
        return { record: job.record, error };
      } finally {
        stop.end();
      }
    },
  };
}

interface RunningJob {
  record: JobRecord;
  readonly signal: AbortSignal;
  append(event: JobEvent): void;
  readonly onProgress: LocalJobContext['onProgress'];
}

/** Fires at the deadline and when the caller aborts, with an error of ours: nobody else would go on with the job. */
function stopSignal(deadlineMs: number | null, caller: AbortSignal | undefined): DeadlineSignal {
  const controller = new AbortController();
  const deadline = deadlineSignal(deadlineMs);
  const given = AbortSignal.any([deadline.signal, ...(caller ? [caller] : [])]);
  const stop = (): void => controller.abort(abortError(given));
  if (given.aborted) stop();
  else given.addEventListener('abort', stop, { once: true });
  return { signal: controller.signal, end: deadline.end };
}

/** Runs the job, gone on with where a process that was killed had begun the same, so that the next one could do so too. */
async function runRemembered(
  dependencies: LocalJobsDependencies,
  input: LocalJobInput,
  job: RunningJob,
): Promise<void> {
  const { unfinished, clock, workFolder, outputFiles } = dependencies;
  await sweepProcessWorkspaces(workFolder);
  const inputs = await readInputs(input, job.signal);
  const key = unfinishedJobKey(inputs, input.options);
  const outputPath = resolve(input.outputPath);
  const remembered = (): UnfinishedJob => ({
    jobId: job.record.id,
    options: input.options,
    plan: job.record.plan,
    outputPath,
    attempts: job.record.attempts,
  });
  const left = await unfinished.takeUp(key, remembered());
  const { jobId: id, plan, attempts } = left;
  job.record = { ...job.record, id, plan, attempts };
  if (left.outputPath !== outputPath) {
    await outputFiles.sweep(left);
    await unfinished.save(key, remembered());
  }
  try {
    const made = await makeOutput(dependencies, input, inputs, {
      job,
      remember: () => unfinished.save(key, remembered()),
    });
    job.append({
      type: 'completed',
      run: job.record.runs,
      atMs: clock.nowMs(),
      result: toJobResult(made, 'local'),
      warnings: made.warnings,
    });
  } finally {
    // What still runs elsewhere, or was made and could not be put in its place, is for whoever asks for the same again.
    const last = job.record.attempts.at(-1)?.outcome;
    const isLeft = job.record.status !== 'completed' && (last === 'running' || last === 'succeeded');
    // A memory that cannot be written is one of a process that is gone, once this one is.
    await (isLeft ? unfinished.release(key, remembered()) : unfinished.forget(key, id)).catch(() => undefined);
  }
}

/** A job and how its attempts are kept for a program that goes on after a kill. */
interface RememberedJob {
  readonly job: RunningJob;
  remember(): Promise<void>;
}

interface LocalInputs extends FetchedInputs {
  readonly speechDigest: string;
}

async function readInputs(
  { videoPath, audioPath, outputPath }: LocalJobInput,
  signal: AbortSignal,
): Promise<LocalInputs> {
  const clipPath = await requireReadable(videoPath, 'clip');
  const speechPath = await requireReadable(audioPath, 'speech');
  await refuseInputAsOutput([clipPath, speechPath], resolve(outputPath));
  return {
    clipPath,
    speechPath,
    clipDigest: (await hashFile(clipPath, signal)).sha256,
    speechDigest: (await hashFile(speechPath, signal)).sha256,
  };
}

async function makeOutput(
  dependencies: LocalJobsDependencies,
  input: LocalJobInput,
  inputs: LocalInputs,
  remembered: RememberedJob,
): Promise<PipelineResult> {
  const { job } = remembered;
  const output = await dependencies.outputFiles.claim(resolve(input.outputPath), {
    overwrite: input.overwrite,
    jobId: job.record.id,
  });
  let workspace: Workspace | undefined;
  try {
    workspace = await openProcessWorkspace(dependencies.workFolder);
    const made = await runToItsEnd(dependencies, remembered, {
      jobId: job.record.id,
      owner: null,
      workspace,
      options: input.options,
      fetchInputs: async () => inputs,
    });
    job.onProgress?.(toProgressUpdate({ stage: 'publishing', fraction: 0 }));
    await output.publish(made.takePath);
    return made;
  } finally {
    await output.release();
    await workspace?.remove();
  }
}

/** As often as the job has to wait: here nobody else would come back to it. */
async function runToItsEnd(
  { pipeline, clock }: LocalJobsDependencies,
  { job, remember }: RememberedJob,
  input: PipelineInput,
): Promise<PipelineResult> {
  const { signal } = job;
  // Of another process, which had begun the same.
  const wasInterrupted = job.record.attempts.length > 0;
  const saveAttempts = async (attempts: readonly Attempt[]): Promise<void> => {
    job.append({ type: 'attempts_changed', run: job.record.runs, attempts });
    await remember().catch(failStore);
  };
  const savePlan = async (plan: ProviderPlan, outputMs: number | null): Promise<void> => {
    job.append({ type: 'planned', run: job.record.runs, plan, outputMs });
    await remember().catch(failStore);
  };
  for (;;) {
    const outcome = await pipeline.run(input, {
      signal,
      savePlan,
      saveAttempts,
      wasInterrupted,
      plan: job.record.plan,
      outputMs: job.record.outputMs,
      earlierAttempts: job.record.attempts,
      canRun: () => true,
      onProgress: (report) => job.onProgress?.(toProgressUpdate(report)),
    });
    if (outcome.kind === 'made') return outcome;
    if (outcome.kind === 'elsewhere')
      throw new LipsyncError('internal', 'A job was handed on although every provider runs here.');
    job.onProgress?.(toProgressUpdate({ stage: 'waiting', fraction: 0 }));
    await sleep(Math.max(0, outcome.untilMs - clock.nowMs()), undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) continue;
    const reason = abortError(signal);
    await pipeline.abandon(input, reason, {
      signal: AbortSignal.timeout(abandonLimitMs),
      saveAttempts,
      earlierAttempts: job.record.attempts,
    });
    throw reason;
  }
}

/** What runs elsewhere is told to stop within this time. */
const abandonLimitMs = 20_000;

/** Nobody who replaces an output means to lose what it is made from, under whatever name it is reached. */
async function refuseInputAsOutput(inputPaths: readonly string[], outputPath: string): Promise<void> {
  const output = await realpath(outputPath).catch(() => outputPath);
  const inputs = await Promise.all(inputPaths.map((path) => realpath(path)));
  if (inputs.includes(output))
    throw new LipsyncError('request_invalid', 'The output would replace one of its own inputs; choose another path.');
}
