import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { LipsyncOptionsInput } from '../../src/contract/index.ts';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { ArtifactInputFetcher } from '../../src/jobs/input-fetcher.ts';
import type { JobRecord, LipsyncSpec } from '../../src/jobs/job-record.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import type { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import { JobRunner, type JobRunnerOptions } from '../../src/jobs/job-runner.ts';
import { LipsyncHandler, type LipsyncHandlerOptions } from '../../src/jobs/lipsync-handler.ts';
import { LocalArtifactStore, requireWritableStore, type ArtifactStore } from '../../src/storage/index.ts';
import { createMemoryJobStore } from '../../src/testing/memory-job-store.ts';
import { testJobRecord } from '../../src/testing/index.ts';
import type { Script } from './pipeline-scripts.ts';

/** Options of the runner and of the handler of lip-sync jobs. */
export type RunnerOptions = JobRunnerOptions & Omit<LipsyncHandlerOptions, 'pipeline'>;

/** A job store, an artifact store and runners in a temporary folder. */
export interface RunnerBench {
  readonly store: JobStore;
  readonly artifacts: ArtifactStore;
  readonly workFolder: string;
  readonly outputFolder: string;
  /** Time of the runners' clock. */
  readonly time: { nowMs: number };
  /** Stores the queued job `job_1`. Its inputs are in the artifact store unless `inputs` is given. */
  accept(
    options?: LipsyncOptionsInput,
    change?: Partial<JobRecord<'lipsync'>>,
    inputs?: Pick<LipsyncSpec, 'video' | 'audio'>,
  ): Promise<JobRecord<'lipsync'>>;
  runner(run: Script, change?: Partial<RunnerOptions>, abandon?: LipsyncPipeline['abandon']): JobRunner;
  remove(): Promise<void>;
}

export async function openRunnerBench(): Promise<RunnerBench> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-runner-'));
  const workFolder = join(folder, 'work');
  const outputFolder = join(folder, 'outputs');
  const artifacts = new LocalArtifactStore({
    inputsDir: join(folder, 'inputs'),
    outputsDir: outputFolder,
  });
  const store = createMemoryJobStore();
  const time = { nowMs: 10_000 };
  const ignore = (): void => undefined;
  const put = async (content: string) => {
    const { key } = await artifacts.putInput(Readable.from([content]), { maxBytes: 100 });
    return { kind: 'artifact', key, name: content } as const;
  };
  return {
    store,
    artifacts,
    workFolder,
    outputFolder,
    time,
    async accept(options = {}, change = {}, inputs) {
      const queued = testJobRecord('job_1', time.nowMs, options);
      const stored = inputs ?? { video: await put('the clip'), audio: await put('the speech') };
      const record = { ...queued, spec: { ...queued.spec, ...stored }, ...change };
      await store.create(record);
      return record;
    },
    runner(run, change = {}, abandon = async () => undefined) {
      const options = {
        store,
        pipeline: { run, abandon },
        workFolder,
        inputs: new ArtifactInputFetcher({
          artifacts,
          maxBytes: 100,
          allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
          minBytesPerSecond: 0,
          limits: { retryPauseMs: 1 },
        }),
        clock: { nowMs: () => time.nowMs },
        logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
        // Long, so that a run sees a cancel only in the answers of the store.
        cancelPollMs: 60_000,
        progressIntervalMs: 0,
        checkStorage: () => requireWritableStore(artifacts),
        findPublished: async ({ id }: { readonly id: string }) =>
          (await artifacts.stat(`outputs/${id}/output.mp4`))?.key,
        publish: async (takePath: string, { id }: { readonly id: string }) =>
          (await artifacts.publish(takePath, `outputs/${id}/output.mp4`)).key,
        ...change,
      };
      return new JobRunner({ handlers: { lipsync: new LipsyncHandler(options) }, ...options });
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
