import { LipsyncError, TimeoutError, toLipsyncError, abortError } from '../errors/index.ts';
import type { Clock, Logger } from '../ports/ports.ts';
import type { ProgressReport } from '../providers/provider.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import type { InputFetcher } from './input-fetcher.ts';
import { isTerminal, type JobRecord, type JobResult } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import type { LipsyncPipeline, PipelineResult } from './lipsync-pipeline.ts';
import { createProgressWriter } from './progress-writer.ts';
import { openJobWorkspace, removeJobWorkspaces, type Workspace } from './workspace.ts';

/** Runs that may end without a word before the job is given up. */
const maxCrashes = 5;

export interface JobRunnerDependencies {
  readonly store: JobStore;
  readonly artifacts: ArtifactStore;
  readonly fetcher: InputFetcher;
  readonly pipeline: LipsyncPipeline;
  /** Folder for work in progress. */
  readonly workFolder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often a running job looks whether it was canceled. */
  readonly cancelPollMs: number;
  readonly progressIntervalMs: number;
}

/** Runs recorded jobs from wherever they stand to their end. */
export interface JobRunner {
  /**
   * Runs the job and returns its record at the end. May be called again for the same job at any time: a finished job
   * is returned as it is, an interrupted one is gone on with. An abort of `signal` hands the job back unfinished and
   * throws; every other outcome is in the record. Throws `not_found` when there is no such job.
   */
  run(jobId: string, context: { readonly signal: AbortSignal }): Promise<JobRecord>;
}

export function createJobRunner(dependencies: JobRunnerDependencies): JobRunner {
  const { store, clock, workFolder } = dependencies;

  async function finishEarly(record: JobRecord): Promise<JobRecord | undefined> {
    if (isTerminal(record.status)) return record;
    const atMs = clock.nowMs();
    if (record.cancelRequested) return store.append(record.id, { type: 'canceled', atMs });
    if (record.crashes < maxCrashes) return undefined;
    const message = `The worker went away ${record.crashes} times while it worked on this job; it was given up.`;
    return store.append(record.id, { type: 'failed', run: record.runs, atMs, code: 'worker_crashed', message, warnings: [] });
  }

  return {
    async run(jobId, { signal }) {
      const found = await store.get(jobId);
      if (!found) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
      const record = isTerminal(found.status) ? found : await store.append(jobId, { type: 'run_started', atMs: clock.nowMs() });
      const early = await finishEarly(record);
      if (early) {
        await removeJobWorkspaces(workFolder, jobId);
        return early;
      }
      return runOnce(dependencies, record, signal);
    },
  };
}

async function runOnce(dependencies: JobRunnerDependencies, record: JobRecord, handBack: AbortSignal): Promise<JobRecord> {
  const { store, clock, logger } = dependencies;
  const workspace = await openJobWorkspace(dependencies.workFolder, record.id);
  const stop = watchForStop(dependencies, record);
  const signal = AbortSignal.any([handBack, stop.signal]);
  try {
    const result = await makeOutput(dependencies, record, workspace, signal);
    return await store.append(record.id, { type: 'completed', run: record.runs, atMs: clock.nowMs(), ...result });
  } catch (thrown) {
    if (stop.signal.reason === superseded) return await currentRecord(store, record);
    if (handBack.aborted && !stop.signal.aborted) {
      await store.append(record.id, { type: 'handed_back', run: record.runs });
      throw abortError(handBack);
    }
    const error = stop.signal.aborted ? abortError(stop.signal) : toLipsyncError(thrown);
    logger.warn({ jobId: record.id, code: error.code, error }, 'job did not complete');
    const atMs = clock.nowMs();
    if (error.code === 'canceled') return await store.append(record.id, { type: 'canceled', atMs });
    return await store.append(record.id, { type: 'failed', run: record.runs, atMs, code: error.code, message: error.message, warnings: [] });
  } finally {
    stop.end();
    await workspace.remove();
  }
}

async function currentRecord(store: JobStore, record: JobRecord): Promise<JobRecord> {
  return (await store.get(record.id)) ?? record;
}

async function makeOutput(
  { store, artifacts, fetcher, pipeline, progressIntervalMs, clock, logger }: JobRunnerDependencies,
  record: JobRecord,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<{ result: JobResult; warnings: PipelineResult['warnings'] }> {
  const run = record.runs;
  const progress = createProgressWriter({
    intervalMs: progressIntervalMs, clock,
    write: (update) => store.append(record.id, { type: 'progressed', run, ...update }),
    onError: (error) => logger.warn({ jobId: record.id, error }, 'progress was not stored'),
  });
  try {
    const onProgress = (report: ProgressReport): void => progress.report(report);
    onProgress({ stage: 'fetching', fraction: 0 });
    const inputs = await fetcher.fetch(record, { signal, workspace });
    if (inputs.changed) await store.append(record.id, { type: 'inputs_fetched', run, video: inputs.video, audio: inputs.audio });
    const made = await pipeline.run(
      { jobId: record.id, clipPath: inputs.clipPath, speechPath: inputs.speechPath, clipDigest: inputs.clipDigest, options: record.options, workspace },
      {
        signal, onProgress, earlierAttempts: record.attempts,
        saveAttempts: async (attempts) => void (await store.append(record.id, { type: 'attempts_changed', run, attempts })),
      },
    );
    onProgress({ stage: 'publishing', fraction: 0 });
    const output = await artifacts.publish(made.takePath, `outputs/${record.id}/output.mp4`);
    const { methodUsed, degraded, durationMs, warnings } = made;
    return { result: { methodUsed, degraded, cached: false, durationMs, costMicros: 0, outputKey: output.key }, warnings };
  } finally {
    await progress.settle();
  }
}

/** Why a run stops when a later run of the same job is under way: it must not go on spending the machine. */
const superseded = new LipsyncError('canceled', 'Another worker took the job over.');

/** A signal that fires when the job was canceled or its deadline passed, with that error as its reason. */
function watchForStop({ store, clock, cancelPollMs, logger }: JobRunnerDependencies, record: JobRecord): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const poll = setInterval(() => void look(), cancelPollMs);
  const deadline = record.deadlineAtMs === null ? undefined : setTimeout(expire, Math.max(0, record.deadlineAtMs - clock.nowMs()));

  async function look(): Promise<void> {
    try {
      const now = await store.get(record.id);
      if (now?.cancelRequested) controller.abort(new LipsyncError('canceled', 'The job was canceled.'));
      if (now && now.runs !== record.runs) controller.abort(superseded);
    } catch (error) {
      logger.warn({ jobId: record.id, error }, 'the job could not be looked up');
    }
  }

  function expire(): void {
    controller.abort(new TimeoutError('deadline_exceeded', 'The job did not end before its deadline.'));
  }

  return {
    signal: controller.signal,
    end() {
      clearInterval(poll);
      clearTimeout(deadline);
    },
  };
}
