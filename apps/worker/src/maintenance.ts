import { setTimeout as delay } from 'node:timers/promises';
import {
  isTerminal,
  sweepProcessWorkspaces,
  UnreadableRecordError,
  type ArtifactStore,
  type Clock,
  type JobStore,
  type LipsyncCore,
  type Logger,
} from '@lipsync/core/host';
import type { Batches, JobErasure, LipsyncProducer, Retention, UserErasure } from '@lipsync/queue';

/** Far longer than an upload, a download or a copy pauses between two writes: the file belongs to a killed process. */
const partialFileMaxAgeMs = 30 * 60_000;
const reconcileLimitMs = 60_000;
/** Other tasks run again after this time; a longer deletion continues after them. */
const erasureLimitMs = 60_000;

export interface MaintenanceOptions {
  readonly producer: Pick<LipsyncProducer, 'sweep'>;
  readonly erasure: Pick<JobErasure, 'resumeAll' | 'deleteUnusedUploads'>;
  readonly batches: Pick<Batches, 'sweep'>;
  readonly userErasure: Pick<UserErasure, 'resumeAll'>;
  /** Starts a rewrite of the append-only file if it is due; returns whether it has. */
  readonly rewriteErasedData: () => Promise<boolean>;
  readonly retention: Pick<Retention, 'run'>;
  readonly core: Pick<LipsyncCore, 'reconcile' | 'deleteVendorCopies' | 'sweepSlots' | 'workFolder'>;
  readonly store: Pick<JobStore, 'get'>;
  readonly artifacts: Pick<ArtifactStore, 'sweep'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/**
 * Runs all maintenance tasks now and every `intervalMs` until the signal aborts. A task that fails is logged and runs
 * again the next time.
 */
export async function runMaintenance(options: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const { logger, intervalMs } = options;
  const tasks = {
    sweepJobs,
    sweepBatches,
    sweepSlots,
    sweepArtifacts,
    sweepWorkspaces,
    reconcile,
    eraseJobs,
    eraseUsers,
    deleteOld,
    deleteUploads,
    deleteVendorCopies,
    rewriteErased,
  };
  while (!signal.aborted) {
    for (const [task, run] of Object.entries(tasks)) {
      if (signal.aborted) return;
      await run(options, signal).catch((error: unknown) =>
        logger.warn({ task, error }, 'maintenance task failed; it runs again later'),
      );
    }
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Requeues the jobs that no queue holds, and fails those that were still queued at their deadline. */
async function sweepJobs({ producer, logger }: MaintenanceOptions): Promise<void> {
  const { requeued, expired } = await producer.sweep();
  if (expired > 0) logger.info({ expired }, 'queued jobs failed at their deadline');
  if (requeued > 0) logger.info({ requeued }, 'jobs of killed processes requeued');
}

/** Queues the missing jobs of batches, and ends the batches whose jobs have ended. */
async function sweepBatches({ batches, logger }: MaintenanceOptions): Promise<void> {
  const endedBatches = await batches.sweep();
  if (endedBatches > 0) logger.info({ endedBatches }, 'batches ended');
}

/** Releases the slots of ended jobs. */
async function sweepSlots(options: MaintenanceOptions): Promise<void> {
  const releasedSlots = await options.core.sweepSlots((jobId) => isGone(jobId, options));
  if (releasedSlots > 0) options.logger.info({ releasedSlots }, 'slots of ended jobs released');
}

/** A job with an unreadable record may still run, so its slot is kept; the slots of other jobs are released. */
async function isGone(jobId: string, { store, logger }: MaintenanceOptions): Promise<boolean> {
  try {
    return isTerminal((await store.get(jobId))?.status ?? 'failed');
  } catch (error) {
    if (!(error instanceof UnreadableRecordError)) throw error;
    if (!error.isNewer) logger.warn({ jobId, error }, 'the record of a job is unreadable; its slot is kept');
    return false;
  }
}

/** Deletes the partial files of killed processes. */
async function sweepArtifacts({ artifacts, clock, logger }: MaintenanceOptions): Promise<void> {
  const deletedFiles = await artifacts.sweep({ olderThanMs: partialFileMaxAgeMs, nowMs: clock.nowMs() });
  if (deletedFiles > 0) logger.info({ deletedFiles }, 'partial files of killed processes deleted');
}

/** Deletes the workspaces that killed processes of this machine have left. */
async function sweepWorkspaces({ core }: MaintenanceOptions): Promise<void> {
  await sweepProcessWorkspaces(core.workFolder);
}

/** Settles the cost of operations that outlived their jobs. */
async function reconcile({ core, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const settled = await core.reconcile(AbortSignal.any([signal, AbortSignal.timeout(reconcileLimitMs)]));
  if (settled > 0) logger.info({ settled }, 'pending settlements settled');
}

/** Erases jobs whose deletion was requested while they ran, and those whose deletion was interrupted. */
async function eraseJobs({ erasure, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const erased = await erasure.resumeAll(AbortSignal.any([signal, AbortSignal.timeout(erasureLimitMs)]));
  if (erased > 0) logger.info({ erased }, 'deleted jobs erased');
}

/** As `eraseJobs`, for users: a job that cannot be erased stops no user's erasure. */
async function eraseUsers({ userErasure, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const users = await userErasure.resumeAll(AbortSignal.any([signal, AbortSignal.timeout(erasureLimitMs)]));
  if (users > 0) logger.info({ users }, 'deleted users erased');
}

/** Deletes what vendors keep of erased jobs. */
async function deleteVendorCopies({ core, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const deleted = await core.deleteVendorCopies(AbortSignal.any([signal, AbortSignal.timeout(reconcileLimitMs)]));
  if (deleted > 0) logger.info({ deleted }, 'copies of erased jobs deleted at vendors');
}

/** Deletes inputs, outputs and records at their age. */
async function deleteOld({ retention, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const deleted = await retention.run(AbortSignal.any([signal, AbortSignal.timeout(erasureLimitMs)]));
  if (deleted.inputs + deleted.outputs + deleted.records > 0) logger.info(deleted, 'data deleted because of their age');
}

/** Deletes uploads of requests that created no job. */
async function deleteUploads({ erasure, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const uploads = await erasure.deleteUnusedUploads(AbortSignal.any([signal, AbortSignal.timeout(erasureLimitMs)]));
  if (uploads > 0) logger.info({ uploads }, 'uploads without a job deleted');
}

/** Rewrites the append-only file of a private Redis, so that it no longer contains what was erased. */
async function rewriteErased({ rewriteErasedData, logger }: MaintenanceOptions): Promise<void> {
  if (await rewriteErasedData()) logger.info({}, 'append-only file of Redis is rewritten without erased data');
}
