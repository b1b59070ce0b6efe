import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, constants, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline as pipe } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LipsyncOptions } from '../contract/index.ts';
import { abortError, InputNotFoundError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { deadlineSignal } from '../jobs/deadline-signal.ts';
import { applyJobEvent, type JobEvent } from '../jobs/job-events.ts';
import type { Attempt, JobRecord } from '../jobs/job-record.ts';
import type { LipsyncPipeline, PipelineInput, PipelineResult } from '../jobs/lipsync-pipeline.ts';
import { newJobRecord } from '../jobs/new-job-record.ts';
import { toProgressUpdate, type ProgressUpdate } from '../jobs/progress-writer.ts';
import type { FetchedInputs } from '../jobs/input-fetcher.ts';
import { endWithoutOutput, toJobResult } from '../jobs/run-end.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, type Workspace } from '../jobs/workspace.ts';
import type { Clock, IdSource } from '../ports/ports.ts';
import type { OutputFiles } from './output-file.ts';
import { unfinishedJobKey, type UnfinishedJob, type UnfinishedJobs } from './unfinished-jobs.ts';

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
  const { clock, ids, workFolder, unfinished } = dependencies;
  return {
    async run(input, context) {
      const reference = (path: string) => ({ kind: 'artifact', key: 'local', name: path }) as const;
      let record = newJobRecord({
        id: ids.jobId(), options: input.options, owner: null, nowMs: clock.nowMs(),
        video: reference(input.videoPath), audio: reference(input.audioPath),
      });
      const append = (event: JobEvent): void => {
        record = applyJobEvent(record, event);
      };
      append({ type: 'run_started', atMs: clock.nowMs() });
      let key: string | undefined;
      const deadline = deadlineSignal(input.options.deadlineMs ?? null);
      const signal = AbortSignal.any([deadline.signal, ...(context.signal ? [context.signal] : [])]);
      try {
        await sweepProcessWorkspaces(workFolder);
        const inputs = await readInputs(input, signal);
        key = unfinishedJobKey(inputs, input.options);
        record = { ...record, ...asRecord(await unfinished.takeUp(key, { jobId: record.id, attempts: [] })) };
        const job: RunningJob = {
          get record() {
            return record;
          },
          append, signal, onProgress: context.onProgress,
          remember: (attempts) => unfinished.save(unfinishedJobKey(inputs, input.options), { jobId: record.id, attempts }),
        };
        const made = await makeOutput(dependencies, input, inputs, job);
        append({ type: 'completed', run: record.runs, atMs: clock.nowMs(), result: toJobResult(made, record.attempts, 'local'), warnings: made.warnings });
        return { record, error: undefined };
      } catch (thrown) {
        const error = signal.aborted ? abortError(signal) : toLipsyncError(thrown);
        append(endWithoutOutput(error, record, clock.nowMs()));
        return { record, error };
      } finally {
        deadline.end();
        // A take that was paid for and could not be put in its place is not given up.
        const isLost = record.status === 'failed' && record.attempts.at(-1)?.outcome === 'succeeded';
        if (key !== undefined && !isLost) await unfinished.forget(key, record.id);
      }
    },
  };
}

interface RunningJob {
  readonly record: JobRecord;
  readonly signal: AbortSignal;
  append(event: JobEvent): void;
  /** Keeps the attempts for a program that goes on after a kill. */
  remember(attempts: readonly Attempt[]): Promise<void>;
  readonly onProgress: LocalJobContext['onProgress'];
}

interface LocalInputs extends FetchedInputs {
  readonly speechDigest: string;
}

async function readInputs({ videoPath, audioPath, outputPath }: LocalJobInput, signal: AbortSignal): Promise<LocalInputs> {
  const clipPath = await requireReadable(videoPath, 'clip');
  const speechPath = await requireReadable(audioPath, 'speech');
  await refuseInputAsOutput([clipPath, speechPath], resolve(outputPath));
  return { clipPath, speechPath, clipDigest: await digestFile(clipPath, signal), speechDigest: await digestFile(speechPath, signal) };
}

function asRecord({ jobId: id, attempts }: UnfinishedJob): Pick<JobRecord, 'id' | 'attempts'> {
  return { id, attempts };
}

async function makeOutput(dependencies: LocalJobsDependencies, input: LocalJobInput, inputs: LocalInputs, job: RunningJob): Promise<PipelineResult> {
  const output = await dependencies.outputFiles.claim(resolve(input.outputPath), { overwrite: input.overwrite, jobId: job.record.id });
  let workspace: Workspace | undefined;
  try {
    workspace = await openProcessWorkspace(dependencies.workFolder);
    const made = await runToItsEnd(dependencies, job, {
      jobId: job.record.id, owner: null, workspace, options: input.options, fetchInputs: async () => inputs,
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
async function runToItsEnd({ pipeline, clock }: LocalJobsDependencies, job: RunningJob, input: PipelineInput): Promise<PipelineResult> {
  const { signal } = job;
  const saveAttempts = async (attempts: readonly Attempt[]): Promise<void> => {
    job.append({ type: 'attempts_changed', run: job.record.runs, attempts });
    await job.remember(attempts);
  };
  for (;;) {
    const outcome = await pipeline.run(input, {
      signal, saveAttempts, earlierAttempts: job.record.attempts, canRun: () => true,
      onProgress: (report) => job.onProgress?.(toProgressUpdate(report)),
    });
    if (outcome.kind === 'made') return outcome;
    if (outcome.kind === 'elsewhere') throw new LipsyncError('internal', 'A job was handed on although every provider runs here.');
    job.onProgress?.(toProgressUpdate({ stage: 'waiting', fraction: 0 }));
    await sleep(Math.max(0, outcome.untilMs - clock.nowMs()), undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) continue;
    const reason = abortError(signal);
    await pipeline.abandon(input, reason, { signal: AbortSignal.timeout(abandonLimitMs), saveAttempts, earlierAttempts: job.record.attempts });
    throw reason;
  }
}

/** What runs elsewhere is told to stop within this time. */
const abandonLimitMs = 20_000;

async function requireReadable(path: string, what: string): Promise<string> {
  const absolute = resolve(path);
  try {
    await access(absolute, constants.R_OK);
    if ((await stat(absolute)).isFile()) return absolute;
  } catch (cause) {
    throw new InputNotFoundError(`The ${what} "${path}" does not exist or cannot be read.`, { cause });
  }
  throw new InputNotFoundError(`The ${what} "${path}" is not a file.`);
}

/** Nobody who replaces an output means to lose what it is made from, under whatever name it is reached. */
async function refuseInputAsOutput(inputPaths: readonly string[], outputPath: string): Promise<void> {
  const output = await realpath(outputPath).catch(() => outputPath);
  const inputs = await Promise.all(inputPaths.map((path) => realpath(path)));
  if (inputs.includes(output)) throw new LipsyncError('request_invalid', 'The output would replace one of its own inputs; choose another path.');
}

async function digestFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipe(createReadStream(path), hash, { signal });
  return hash.digest('hex');
}
