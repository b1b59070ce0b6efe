import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHeygenStandin, type HeygenStandin } from '@lipsync/heygen-standin';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import type { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import { Ledger } from '../../src/billing/ledger.ts';
import { planTimeline, probeClip, probeSpeech } from '../../src/media/index.ts';
import { createIdSource, systemClock as clock } from '../../src/contract/system-ports.ts';
import { HeygenProvider } from '../../src/providers/heygen/heygen-provider.ts';
import { PendingSettlementStore } from '../../src/billing/pending-settlements.ts';
import { SettlementReconciler } from '../../src/providers/settlement-reconciler.ts';
import { previewFacts } from '../../src/providers/preview/preview-provider.ts';
import { ActiveProviders } from '../../src/providers/active-providers.ts';
import { runChain } from '../../src/providers/chain.ts';
import type { InlineProvider, TakeRequest } from '../../src/providers/provider.ts';
import { SharedAdmission } from '../../src/jobs/shared-admission.ts';
import { RenderProcessPool, type RenderPool } from '../../src/processes/render-pool.ts';
import { CircuitBreaker } from '../../src/scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../../src/scheduling/concurrency-slots.ts';
import { LocalJobs } from '../../src/service/local-jobs.ts';
import { OutputFiles } from '../../src/service/output-file.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { limits } from '../media/make-media.ts';
import { makeShortSample } from '../service/short-sample.ts';
import { runFault, requiredOutcome, type FaultBench } from './fault-run.ts';
import { faultTable, type FaultCase } from './fault-table.ts';

/** Time limits of an operation: generous for a busy machine, and short for jobs that wait for the limit. */
const timeoutMs = 60_000;
const shortTimeoutMs = 2_500;
const slowMs = 1_500;
/** Upper limit for a job with a fault, with a margin for a busy machine. */
const maxJobMs = 90_000;
const testTimeoutMs = 200_000;

let folder: string;
let request: Omit<TakeRequest, 'jobId' | 'takePath'>;
let renderPool: RenderPool;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-faults-'));
  const { clipPath, speechPath } = await makeShortSample(folder);
  const [clip, speech] = await Promise.all([probeClip(clipPath, { limits }), probeSpeech(speechPath, { limits })]);
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop', window: {} });
  request = {
    clipPath,
    clipDigest: 'unused',
    clip,
    speechPath,
    speech,
    timeline,
    mouthCurvePath: 'unused',
    silenceMode: 'generate',
    providerOptions: {},
  };
  renderPool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 60_000 });
});
afterAll(async () => {
  await renderPool.close();
  await rm(folder, { recursive: true, force: true });
});

/** Replaces the local engine: the tests observe only whether it runs. */
const localEngine: InlineProvider = {
  kind: 'inline',
  facts: previewFacts,
  async run({ clipPath, takePath }) {
    await copyFile(clipPath, takePath);
    return { path: takePath, warnings: [], costMicros: 0 };
  },
};

/** Creates an in-process service with its own state. */
async function openBench({ url, apiKey, control }: HeygenStandin, { waitsForTimeout }: FaultCase): Promise<FaultBench> {
  const workFolder = await mkdtemp(join(folder, 'work-'));
  const state = createMemoryState().open();
  const heygen = new HeygenProvider({
    apiKey,
    endpoint: url,
    renderPool,
    clock,
    maxConcurrent: 5,
    pollIntervalMs: 100,
    timeoutMs: waitsForTimeout ? shortTimeoutMs : timeoutMs,
    microsPerSecond: { speed: 33_300, precision: 66_700 },
    limits: { retryPauseMs: 50 },
  });
  const activeProviders = new ActiveProviders([heygen, localEngine]);
  const ledger = new Ledger({
    state,
    clock,
    caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null },
  });
  const pendingSettlements = new PendingSettlementStore({ state, clock });
  const admission = new SharedAdmission({
    breaker: new CircuitBreaker({ state, clock }),
    slots: createConcurrencySlots({ state, clock }),
    ledger,
    pendingSettlements,
    clock,
    slotPollIntervalMs: 100,
    onSlotReleased: () => undefined,
  });
  // All jobs have the same inputs, which are probed once.
  const pipeline: Pick<LipsyncPipeline, 'run' | 'abandon'> = {
    async run({ jobId, workspace }, context) {
      const outcome = await runChain(
        activeProviders.all,
        async () => ({ ...request, jobId, takePath: workspace.file('take.mp4') }),
        { ...context, jobId, payer: { user: null }, maxCostMicros: null, admission, clock },
      );
      if (outcome.type !== 'made') return outcome;
      const {
        take,
        provider: { facts },
      } = outcome;
      return {
        type: 'made',
        takePath: take.path,
        methodUsed: facts.id,
        degraded: facts.degraded,
        durationMs: request.timeline.durationMs,
        warnings: take.warnings,
      };
    },
    abandon: () => expect.unreachable('these jobs are never canceled'),
  };
  const jobs = new LocalJobs({
    state,
    pipeline,
    operationMs: timeoutMs,
    outputFiles: new OutputFiles(),
    ids: createIdSource(clock),
    clock,
    workFolder,
    downloads: { maxBytes: 1_000_000, allowedPrivateHosts: [], minBytesPerSecond: 0 },
  });
  const options = lipsyncOptionsSchema.parse({ allowPreview: true });
  const { clipPath: videoPath, speechPath: audioPath } = request;
  return {
    control,
    state,
    ledger,
    slowMs,
    run: () =>
      jobs.run({ videoPath, audioPath, outputPath: join(workFolder, 'out.mp4'), overwrite: false, options }, {}),
    reconcile: (aheadMs) =>
      new SettlementReconciler({
        store: new PendingSettlementStore({ state, clock: { nowMs: () => clock.nowMs() + aheadMs } }),
        ledger,
        clock: { nowMs: () => clock.nowMs() + aheadMs },
      }).reconcile(activeProviders.all, AbortSignal.timeout(timeoutMs)),
  };
}

describe.concurrent.each([...faultTable])('faults of HeyGen: %s', (_title, cases) => {
  it.each(cases)(
    'A job with the fault "$name" gets its take from $made, HeyGen ends with $code, and charges: $paid.',
    { timeout: testTimeoutMs },
    async (fault) => {
      const standin = await startHeygenStandin({
        settings: { pace: { by: 'reads', pendingReads: 0, runningReads: 0 }, mouth: 'old' },
      });
      try {
        const { tookMs, ...outcome } = await runFault(fault, await openBench(standin, fault));
        expect(outcome).toMatchObject(requiredOutcome(fault, outcome));
        expect(tookMs).toBeLessThan(maxJobMs);
      } finally {
        await standin.close();
      }
    },
  );
});
