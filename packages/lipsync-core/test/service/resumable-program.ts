import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import type { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import type { Clock } from '../../src/contract/ports.ts';
import { createIdSource, systemClock as clock } from '../../src/contract/system-ports.ts';
import type { ChainContext } from '../../src/providers/attempt-runner.ts';
import { abandonChain, runChain } from '../../src/providers/chain.ts';
import type { RemoteProvider, TakeRequest } from '../../src/providers/provider.ts';
import { LocalJobs, type LocalJobOutcome } from '../../src/service/local-jobs.ts';
import { OutputFiles } from '../../src/service/output-file.ts';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import { createTestAdmission, createUncappedLedger } from '../../src/testing/test-admission.ts';

/** A program that runs one job at a scripted vendor. The vendor writes its log beside the files of the program. */
export interface Program {
  readonly jobs: LocalJobs;
  readonly state: StateStore;
  /** Values of `wasInterrupted` in the runs of the pipeline. */
  readonly interruptions: ReadonlySet<boolean>;
  run(context?: { readonly signal?: AbortSignal; readonly outputName?: string }): Promise<LocalJobOutcome>;
}

/** Returns the log of the vendor, one line per request. */
export function vendorLog(folder: string): readonly string[] {
  const path = join(folder, 'vendor.log');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

/**
 * A vendor whose operations are done once the file `done` exists. Each idempotency key is one operation. The disk is
 * full while the file `full` exists.
 */
function vendorIn(folder: string): RemoteProvider {
  const log = (line: string): void => appendFileSync(join(folder, 'vendor.log'), `${line}\n`);
  return {
    kind: 'remote',
    facts: { id: 'heygen', degraded: false },
    maxConcurrent: 1,
    timeoutMs: 600_000,
    requestLifetimeMs: 600_000,
    quote: () => 100,
    prepareRequest: async (_, { idempotencyKey }) => ({ idempotencyKey, state: {} }),
    async start({ idempotencyKey }) {
      if (!vendorLog(folder).includes(`start ${idempotencyKey}`)) log(`start ${idempotencyKey}`);
      return { id: idempotencyKey, state: {} };
    },
    async check(operation) {
      if (existsSync(join(folder, 'done'))) return { status: 'done', operation, costMicros: 70 };
      return { status: 'pending', checkAgainInMs: 50 };
    },
    async collect(_, { takePath }, { signal }) {
      await writeFile(join(folder, 'fetching'), '');
      // Holds the job while its take is fetched.
      while (existsSync(join(folder, 'hold-take'))) await sleep(10, undefined, { signal });
      if (existsSync(join(folder, 'full'))) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
      await writeFile(takePath, 'the take');
      return { path: takePath, warnings: [] };
    },
    find: async () => null,
    async cancel({ id }) {
      log(`cancel ${id}`);
      return 0;
    },
  };
}

/** `programClock` is the time of the jobs; providers and slots use the system's clock. */
export function openProgram(folder: string, programClock: Clock = clock): Program {
  const state = new SqliteStateStore({ path: join(folder, 'state.sqlite') });
  const ledger = createUncappedLedger({ state, clock });
  const admission = createTestAdmission({ state, clock, ledger, slotPollIntervalMs: 50 });
  const vendor = vendorIn(folder);
  const books = { payer: { user: null }, maxCostMicros: null, admission, clock } satisfies Partial<ChainContext>;
  const interruptions = new Set<boolean>();
  const pipeline: Pick<LipsyncPipeline, 'run' | 'abandon'> = {
    async run({ jobId, workspace }, context) {
      interruptions.add(context.wasInterrupted);
      // Holds the job before its first attempt.
      while (existsSync(join(folder, 'hold'))) await sleep(10, undefined, { signal: context.signal });
      const request = { jobId, takePath: workspace.file('take.mp4') } as TakeRequest;
      const outcome = await runChain([vendor], async () => request, { ...context, ...books, jobId });
      if (outcome.type !== 'made') return outcome;
      return {
        type: 'made',
        takePath: outcome.take.path,
        methodUsed: 'heygen',
        degraded: false,
        durationMs: 1_000,
        warnings: [],
      };
    },
    abandon: ({ jobId }, reason, context) =>
      abandonChain([vendor], reason, { ...context, ...books, jobId, canRun: () => true, onProgress: () => undefined }),
  };
  const jobs = new LocalJobs({
    state,
    pipeline,
    clock: programClock,
    ids: createIdSource(clock),
    operationMs: 1_000,
    outputFiles: new OutputFiles(),
    workFolder: join(folder, 'work'),
    downloads: { maxBytes: 1_000_000, allowedPrivateHosts: [], minBytesPerSecond: 0 },
  });
  return {
    jobs,
    state,
    interruptions,
    run: ({ signal, outputName = 'out.mp4' } = {}) =>
      jobs.run(
        {
          videoPath: join(folder, 'clip'),
          audioPath: join(folder, 'speech'),
          outputPath: join(folder, outputName),
          overwrite: false,
          options: lipsyncOptionsSchema.parse({}),
        },
        signal ? { signal } : {},
      ),
  };
}

if (import.meta.main) await openProgram(process.argv[2] ?? '').run();
