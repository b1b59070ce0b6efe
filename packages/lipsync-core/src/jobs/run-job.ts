import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import type { Clock, Logger } from '../ports/ports.ts';
import type { ProgressReport } from '../providers/provider.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import { deadlineExceeded } from './deadline-signal.ts';
import type { InputFetcher } from './input-fetcher.ts';
import { isTerminal, type JobRecord, type JobResult } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import type { LipsyncPipeline, PipelineResult } from './lipsync-pipeline.ts';
import { createProgressWriter } from './progress-writer.ts';
import { endWithoutOutput, toJobResult } from './run-end.ts';
import { markStoreFailures, StoreFailure } from './store-failure.ts';
import { superseded, watchForStop } from './watch-for-stop.ts';
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
   * throws; every other outcome of the work is in the record. Throws `not_found` when there is no such job, and what the
   * store threw when it failed: nothing is recorded then, and whoever asked for the run asks again.
   */
  run(jobId: string, context: { readonly signal: AbortSignal }): Promise<JobRecord>;
}

/** What a run works with; its store tells its own failures from those of the job. */
type RunDependencies = Omit<JobRunnerDependencies, 'store'> & { readonly store: ReturnType<typeof markStoreFailures> };

export function createJobRunner(given: JobRunnerDependencies): JobRunner {
  const dependencies: RunDependencies = { ...given, store: markStoreFailures(given.store) };
  return {
    async run(jobId, { signal }) {
      try {
        return await run(dependencies, jobId, signal);
      } catch (error) {
        throw error instanceof StoreFailure ? error.cause : error;
      }
    },
  };
}

async function run(dependencies: RunDependencies, jobId: string, handBack: AbortSignal): Promise<JobRecord> {
  const { store, clock, workFolder } = dependencies;
  const found = await store.get(jobId);
  if (!found) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
  const record = isTerminal(found.status) ? found : await store.append(jobId, { type: 'run_started', atMs: clock.nowMs() });
  const ended = await endEarly(dependencies, record);
  if (!ended) return runOnce(dependencies, record, handBack);
  await removeJobWorkspaces(workFolder, jobId);
  return ended;
}

async function endEarly({ store, clock }: RunDependencies, record: JobRecord): Promise<JobRecord | undefined> {
  if (isTerminal(record.status)) return record;
  const reason = reasonNotToRun(record, clock.nowMs());
  return reason && store.append(record.id, endWithoutOutput(reason, record, clock.nowMs()));
}

/** Why a job that is not at an end is ended instead of being worked on. */
function reasonNotToRun({ cancelRequested, crashes, deadlineAtMs }: JobRecord, nowMs: number): LipsyncError | undefined {
  if (cancelRequested) return new LipsyncError('canceled', 'The job was canceled.');
  if (deadlineAtMs !== null && deadlineAtMs <= nowMs) return deadlineExceeded();
  if (crashes < maxCrashes) return undefined;
  return new LipsyncError('worker_crashed', `The worker went away ${crashes} times while it worked on this job; it was given up.`);
}

async function runOnce(dependencies: RunDependencies, record: JobRecord, handBack: AbortSignal): Promise<JobRecord> {
  const { store, clock } = dependencies;
  const stop = watchForStop(dependencies, record);
  let workspace: Workspace | undefined;
  try {
    workspace = await openJobWorkspace(dependencies.workFolder, record);
    const made = await makeOutput(dependencies, record, workspace, AbortSignal.any([handBack, stop.signal]));
    return await store.append(record.id, { type: 'completed', run: record.runs, atMs: clock.nowMs(), ...made });
  } catch (thrown) {
    if (thrown instanceof StoreFailure) throw thrown;
    return await endRun(dependencies, record, thrown, { handBack, stop: stop.signal });
  } finally {
    stop.end();
    await workspace?.remove();
  }
}

/** Records how a run ended that made no output; one that another run took over from has nothing to say. */
async function endRun(
  { store, clock, logger }: RunDependencies,
  record: JobRecord,
  thrown: unknown,
  { handBack, stop }: { readonly handBack: AbortSignal; readonly stop: AbortSignal },
): Promise<JobRecord> {
  if (stop.reason === superseded) return (await store.get(record.id)) ?? record;
  if (handBack.aborted && !stop.aborted) {
    await store.append(record.id, { type: 'handed_back', run: record.runs });
    throw abortError(handBack);
  }
  const error = stop.aborted ? abortError(stop) : toLipsyncError(thrown);
  logger.warn({ jobId: record.id, code: error.code, error }, 'job did not complete');
  return store.append(record.id, endWithoutOutput(error, record, clock.nowMs()));
}

async function makeOutput(
  { store, artifacts, fetcher, pipeline, progressIntervalMs, clock, logger }: RunDependencies,
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
  let attempts = record.attempts;
  try {
    const onProgress = (report: ProgressReport): void => progress.report(report);
    onProgress({ stage: 'fetching', fraction: 0 });
    const inputs = await fetcher.fetch(record, {
      signal, workspace,
      saveInputs: async (references) => void (await store.append(record.id, { type: 'inputs_fetched', run, ...references })),
    });
    const made = await pipeline.run(
      { jobId: record.id, ...inputs, options: record.options, workspace },
      {
        signal, onProgress, earlierAttempts: record.attempts,
        async saveAttempts(changed) {
          attempts = changed;
          await store.append(record.id, { type: 'attempts_changed', run, attempts });
        },
      },
    );
    onProgress({ stage: 'publishing', fraction: 0 });
    const output = await artifacts.publish(made.takePath, `outputs/${record.id}/output.mp4`);
    return { result: toJobResult(made, attempts, output.key), warnings: made.warnings };
  } finally {
    await progress.settle();
  }
}
