import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { parseAllowedHosts } from '../../src/fetch/index.ts';
import { createInputFetcher } from '../../src/jobs/input-fetcher.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import type { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import { createJobRunner, type JobRunner } from '../../src/jobs/run-job.ts';
import { createLocalArtifactStore } from '../../src/storage/index.ts';
import { createMemoryJobStore } from '../../src/testing/memory-job-store.ts';
import { testJobRecord } from '../../src/testing/index.ts';

/** A folder, a store and the runners that work on them. */
export interface RunnerBench {
  readonly store: JobStore;
  readonly workFolder: string;
  /** Stores the waiting job `job_1`, its inputs in the artifact store unless `change` says otherwise. */
  accept(change?: Partial<JobRecord>): Promise<JobRecord>;
  runner(pipeline: LipsyncPipeline, store?: JobStore): JobRunner;
  remove(): Promise<void>;
}

export async function openRunnerBench(): Promise<RunnerBench> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-runner-'));
  const workFolder = join(folder, 'work');
  const artifacts = createLocalArtifactStore({ inputsDir: join(folder, 'inputs'), outputsDir: join(folder, 'outputs') });
  const store = createMemoryJobStore();
  const ignore = (): void => undefined;
  const put = async (content: string) => {
    const { key } = await artifacts.putInput(Readable.from([content]), { maxBytes: 100 });
    return { kind: 'artifact', key, name: content } as const;
  };
  return {
    store,
    workFolder,
    async accept(change = {}) {
      const record = { ...testJobRecord('job_1'), video: await put('the clip'), audio: await put('the speech'), ...change };
      await store.create(record);
      return record;
    },
    runner: (pipeline, usedStore = store) => createJobRunner({
      store: usedStore, artifacts, pipeline, workFolder,
      fetcher: createInputFetcher({ artifacts, maxBytes: 100, allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']), retryPauseMs: 1 }),
      clock: { nowMs: () => 10_000 },
      logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      // Long: what a run learns by looking, it does not learn here.
      cancelPollMs: 60_000,
      progressIntervalMs: 0,
    }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
