import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import type { Clock, Logger } from '../contract/ports.ts';
import type { Provider } from '../providers/provider.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import { alertOfJob } from './alerts.ts';
import { deadlineExceeded } from './deadline-signal.ts';
import type { FetchedInputs, InputFetcher } from './input-fetcher.ts';
import type { JobEvent } from './job-events.ts';
import { isTerminal, isUnderWay, type JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import type { LipsyncPipeline } from './lipsync-pipeline.ts';
import { createProgressWriter } from './progress-writer.ts';
import { endWithoutOutput, toJobResult } from './run-end.ts';
import { createAttemptSaver, tell } from './run-reports.ts';
import { isOutOfReach, markStoreFailures, StoreFailure, superseded } from '../storage/store-failure.ts';
import { watchForStop, type StopWatch } from './stop-watch.ts';
import { openJobWorkspace, removeJobWorkspaces, type Workspace } from './workspace.ts';
import type { Attempt } from '../providers/attempt.ts';

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
  /** As in `StopWatcherDependencies`. */
  readonly cancelPollMs: number;
  watchCancel?(jobId: string, onChange: () => void): () => void;
  readonly progressIntervalMs: number;
}

export interface RunContext {
  /** Aborted when the job is to be handed back. */
  readonly signal: AbortSignal;
  /** Whether this run may do work of that kind. */
  canRun(kind: Provider['kind']): boolean;
}

/** Runs recorded jobs from wherever they stand to their end. */
export interface JobRunner {
  /**
   * Takes the job as far as it goes without waiting and returns its record: at its end, parked until a time when it is
   * worth another run, waiting for a worker that takes what it `needs`, or worked on by another run that took it over.
   * May be called again for the same job at any time: a job that is finished, or needs what may not be done here, is
   * returned as it is; an interrupted one is gone on with. An abort of `signal` hands the job back unfinished and throws;
   * every other outcome of the work is in the record. Throws `not_found` when there is no such job, and what the store
   * threw when it failed: the job is handed back then, as far as the store takes that, and whoever asked for the run asks again.
   */
  run(jobId: string, context: RunContext): Promise<JobRecord>;
}

/** What a run works with; its store tells its own failures from those of the job. */
type RunDependencies = Omit<JobRunnerDependencies, 'store'> & { readonly store: ReturnType<typeof markStoreFailures> };

export function createJobRunner(given: JobRunnerDependencies): JobRunner {
  const dependencies: RunDependencies = { ...given, store: markStoreFailures(given.store) };
  return {
    async run(jobId, context) {
      try {
        return await run(dependencies, jobId, context);
      } catch (error) {
        // Another run has the job now: how it stands is for that one to say.
        const taken = error === superseded ? await given.store.get(jobId) : undefined;
        if (taken) return taken;
        throw error instanceof StoreFailure ? error.cause : error;
      }
    },
  };
}

async function run(dependencies: RunDependencies, jobId: string, context: RunContext): Promise<JobRecord> {
  const { store, clock } = dependencies;
  const found = await store.get(jobId);
  if (!found) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
  if (found.needs !== null && !context.canRun(found.needs)) return found;
  // Known before it is begun: a store that is slow may begin it and say so too late.
  let runs = found.runs + 1;
  try {
    const record = isTerminal(found.status)
      ? found
      : await store.append(jobId, { type: 'run_started', atMs: clock.nowMs() });
    runs = record.runs;
    return await goOn(dependencies, record, context);
  } catch (error) {
    if (isOutOfReach(error)) await handBackQuietly(dependencies, { id: jobId, runs });
    throw error;
  }
}

async function goOn(dependencies: RunDependencies, record: JobRecord, context: RunContext): Promise<JobRecord> {
  const ended = await endEarly(dependencies, record, context.signal);
  if (!ended) {
    const left = await runOnce(dependencies, record, context);
    // Whoever canceled it before it was parked did not know that it had to be woken.
    return left.cancelRequested && left.parkedUntilMs !== null ? run(dependencies, record.id, context) : left;
  }
  await removeJobWorkspaces(dependencies.workFolder, record.id);
  return ended;
}

/** A run that ends because of the store did not die over its job. Where the store does not take this either, it counts as one that did. */
async function handBackQuietly(
  { store, logger }: RunDependencies,
  { id: jobId, runs: run }: Pick<JobRecord, 'id' | 'runs'>,
): Promise<void> {
  await store
    .append(jobId, { type: 'released', run })
    .catch((error: unknown) => logger.warn({ jobId, error }, 'the job could not be handed back'));
}

async function endEarly(
  dependencies: RunDependencies,
  record: JobRecord,
  signal: AbortSignal,
): Promise<JobRecord | undefined> {
  const { store, clock } = dependencies;
  if (isTerminal(record.status)) return record;
  const reason = reasonNotToRun(record, clock.nowMs());
  if (!reason) return undefined;
  await abandon(dependencies, record, reason, signal);
  return store.append(record.id, endWithoutOutput(reason, record, clock.nowMs()));
}

/** Lets go of what runs elsewhere for a job that is about to end, so that its bill is known or kept open. */
function abandon(
  dependencies: RunDependencies,
  record: JobRecord,
  reason: LipsyncError,
  signal: AbortSignal,
): Promise<void> {
  const { id: jobId, owner, spec } = record;
  const { options } = spec;
  const { save } = createAttemptSaver(dependencies, record);
  return dependencies.pipeline.abandon({ jobId, owner, options }, reason, {
    signal,
    earlierAttempts: record.attempts,
    saveAttempts: async (attempts) => void (await save(attempts)),
  });
}

/** Why a job that is not at an end is ended instead of being worked on. */
function reasonNotToRun(
  { cancelRequested, crashes, deadlineAtMs }: JobRecord,
  nowMs: number,
): LipsyncError | undefined {
  if (cancelRequested) return new LipsyncError('canceled', 'The job was canceled.');
  if (deadlineAtMs !== null && deadlineAtMs <= nowMs) return deadlineExceeded();
  if (crashes < maxCrashes) return undefined;
  return new LipsyncError(
    'worker_crashed',
    `The worker went away ${crashes} times while it worked on this job; it was given up.`,
  );
}

async function runOnce(
  dependencies: RunDependencies,
  record: JobRecord,
  { signal: handBack, canRun }: RunContext,
): Promise<JobRecord> {
  const { store } = dependencies;
  const stop = watchForStop(dependencies, record);
  let workspace: Workspace | undefined;
  try {
    workspace = await openJobWorkspace(dependencies.workFolder, record);
    const ends = await advance(dependencies, record, workspace, {
      canRun,
      heed: stop.heed,
      signal: AbortSignal.any([handBack, stop.signal]),
    });
    return await store.append(record.id, ends);
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
  dependencies: RunDependencies,
  record: JobRecord,
  thrown: unknown,
  { handBack, stop }: { readonly handBack: AbortSignal; readonly stop: AbortSignal },
): Promise<JobRecord> {
  const { store, clock, logger } = dependencies;
  if (stop.reason === superseded) throw superseded;
  if (handBack.aborted && !stop.aborted) {
    await store.append(record.id, { type: 'released', run: record.runs });
    throw abortError(handBack);
  }
  const error = stop.aborted ? abortError(stop) : toLipsyncError(thrown);
  logger.warn({ jobId: record.id, code: error.code, error }, 'job did not complete');
  // A run that failed before or after its chain may leave an attempt as it found it.
  const left = await store.get(record.id);
  if (left?.runs === record.runs && isUnderWay(left)) await abandon(dependencies, left, error, handBack);
  const ended = await store.append(record.id, endWithoutOutput(error, record, clock.nowMs()));
  if (ended.runs === record.runs) alertOfJob(logger, ended, error);
  return ended;
}

/** Works on the job for as long as there is anything to do here; what comes of it is for the record. */
async function advance(
  dependencies: RunDependencies,
  record: JobRecord,
  workspace: Workspace,
  { signal, canRun, heed }: RunContext & Pick<StopWatch, 'heed'>,
): Promise<JobEvent> {
  const { store, clock, pipeline, progressIntervalMs, logger } = dependencies;
  const { runs: run, id: jobId, owner, spec } = record;
  const { options } = spec;
  const progress = createProgressWriter({
    intervalMs: progressIntervalMs,
    clock,
    write: (update) => store.append(jobId, { type: 'progressed', run, ...update }),
    onError: (error) => logger.warn({ jobId, error }, 'progress was not stored'),
  });
  const attempts = createAttemptSaver(dependencies, record);
  try {
    const outcome = await pipeline.run(
      { jobId, owner, options, workspace, fetchInputs: () => fetchInputs(dependencies, record, workspace, signal) },
      {
        signal,
        canRun,
        earlierAttempts: record.attempts,
        wasInterrupted: record.crashes > 0,
        plan: record.plan,
        outputMs: record.outputMs,
        onProgress: (report) => progress.report(report),
        savePlan: async (plan, outputMs) => heed(await tell(store, record, { type: 'planned', run, plan, outputMs })),
        saveAttempts: async (changed) => heed(await attempts.save(changed)),
      },
    );
    if (outcome.kind === 'waiting')
      return {
        type: 'parked',
        run,
        untilMs: Math.min(outcome.untilMs, record.deadlineAtMs ?? Infinity),
        message: waitingMessage(attempts.latest),
      };
    if (outcome.kind === 'elsewhere') return { type: 'transferred', run, needs: outcome.needs };
    progress.report({ stage: 'publishing', fraction: 0 });
    const output = await dependencies.artifacts.publish(outcome.takePath, `outputs/${jobId}/output.mp4`);
    return {
      type: 'completed',
      run,
      atMs: clock.nowMs(),
      result: toJobResult(outcome, output.key),
      warnings: outcome.warnings,
    };
  } finally {
    await progress.settle();
  }
}

function fetchInputs(
  { fetcher, store }: RunDependencies,
  record: JobRecord,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<FetchedInputs> {
  return fetcher.fetch(record, {
    signal,
    workspace,
    saveInputs: async (references) =>
      void (await store.append(record.id, { type: 'inputs_fetched', run: record.runs, ...references })),
  });
}

function waitingMessage(attempts: readonly Attempt[]): string {
  const last = attempts.at(-1);
  if (last?.outcome !== 'running') return 'Waiting for a place at the provider.';
  if (last.costMicros !== null) return `${last.provider} is done; what it made is fetched.`;
  return last.operation ? `${last.provider} is working on it.` : `Waiting until ${last.provider} takes it.`;
}
