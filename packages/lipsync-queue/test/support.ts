import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createIdSource,
  FingerprintStore,
  LedgerPseudonyms,
  LocalArtifactStore,
  silentLogger,
  systemClock,
  VendorCopies,
  type ArtifactStore,
} from '@lipsync/core/host';
import { Worker } from 'bullmq';
import {
  Batches,
  createClientConnection,
  JobErasure,
  LipsyncProducer,
  RedisConcurrencySlots,
  RedisJobStore,
  RedisStateStore,
  createWorkerConnection,
  jobCatalog,
  queueNames,
  type Lane,
} from '../src/index.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

export interface QueueBench {
  readonly redis: TestRedis;
  readonly store: RedisJobStore;
  readonly producer: LipsyncProducer;
  readonly slots: RedisConcurrencySlots;
  readonly batches: Batches;
  /** Stores and producer as another process would open them. */
  another(): { readonly store: RedisJobStore; readonly producer: LipsyncProducer };
  /** Starts a worker of one lane, by default of the render lane, that calls `run`; closed with the bench at the latest. */
  work(run: (jobId: string) => Promise<void>, lane?: Lane): Promise<Worker>;
  artifacts(): Promise<ArtifactStore>;
  /** Erases jobs with files in `artifacts`. */
  erasure(artifacts: Pick<ArtifactStore, 'delete' | 'stat'>): JobErasure;
  readonly state: RedisStateStore;
  empty(): Promise<void>;
  close(): Promise<void>;
}

export async function openBench(): Promise<QueueBench> {
  const redis = await startTestRedis();
  const closers: (() => unknown)[] = [];
  const client = () => {
    const connection = createClientConnection({ url: redis.url, onError: () => undefined });
    closers.push(() => connection.disconnect());
    return connection;
  };
  const another = () => {
    const connection = client();
    const store = new RedisJobStore({ connection });
    const producer = new LipsyncProducer({
      connection,
      store,
      clock: systemClock,
      logger: silentLogger,
      requeueAfterMs: 0,
    });
    closers.unshift(() => producer.close());
    return { store, producer };
  };
  const admin = client();
  const state = new RedisStateStore({ connection: admin });
  const ledger = new LedgerPseudonyms({ state });
  const vendorCopies = new VendorCopies({ state, clock: systemClock });
  const fingerprints = new FingerprintStore({ state });
  const slots = new RedisConcurrencySlots({ connection: admin, clock: systemClock });
  const clock = systemClock;
  const own = another();
  const batches = new Batches({
    ...own,
    clock,
    ids: createIdSource(clock),
    logger: silentLogger,
    verifyRedis: async () => undefined,
  });
  return {
    redis,
    ...own,
    slots,
    batches,
    another,
    async work(run, lane = 'render') {
      const connection = createWorkerConnection({ url: redis.url, onError: () => undefined });
      const worker = new Worker(queueNames[lane], (job) => run(jobCatalog.lipsync.payload.parse(job.data).jobId), {
        connection,
      });
      worker.on('error', () => undefined);
      closers.unshift(async () => {
        await worker.close(true);
        connection.disconnect();
      });
      await worker.waitUntilReady();
      return worker;
    },
    async artifacts() {
      const root = await mkdtemp(join(tmpdir(), 'queue-test-'));
      closers.push(() => rm(root, { recursive: true, force: true }));
      return new LocalArtifactStore({ inputsDir: join(root, 'in'), outputsDir: join(root, 'out') });
    },
    erasure: (artifacts) =>
      new JobErasure({ connection: admin, ...own, batches, artifacts, ledger, vendorCopies, fingerprints, clock }),
    state,
    empty: async () => void (await admin.flushdb()),
    async close() {
      for (const close of closers) await close();
      await redis.stop();
    },
  };
}
