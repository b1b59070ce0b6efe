import { createReadStream } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { LipsyncOptionsInput } from '../../src/contract/index.ts';
import type { Quality, QualityLabel } from '../../src/contract/quality.ts';
import type { RunContext } from '../../src/jobs/job-handler.ts';
import { requireKind, type JobRecord } from '../../src/jobs/job-record.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import { LipsyncPipeline, type LipsyncPipelineOptions } from '../../src/jobs/lipsync-pipeline.ts';
import type { QualityGateOptions } from '../../src/jobs/quality-gate.ts';
import type { RenderPool } from '../../src/processes/render-pool.ts';
import { ActiveProviders } from '../../src/providers/active-providers.ts';
import type { InlineProvider, Take, TakeRequest } from '../../src/providers/provider.ts';
import { emptyTrace } from '../../src/quality/assessment/merge-findings.ts';
import { idleForecast } from '../../src/testing/idle-forecast.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { ScriptedVendor } from '../../src/testing/scripted-vendor.ts';
import { qualityOf } from '../../src/testing/test-quality.ts';
import { limits } from '../media/make-media.ts';
import type { makeShortSample } from '../service/short-sample.ts';
import { openRunnerBench, type RunnerBench, type RunnerOptions } from './runner-bench.ts';
import { createTestAdmission, createUncappedLedger } from '../../src/testing/test-admission.ts';

export const fatalLabel: QualityLabel = {
  code: 'mouth_frozen',
  message: 'The mouth does not move.',
  ranges: [{ startMs: 0, endMs: 1_000 }],
  value: 0,
  threshold: 1,
  fatal: true,
};

/** The vendor of the tests, whose takes are files. */
class FileVendor extends ScriptedVendor {
  override async collect(...[operation, request, context]: Parameters<ScriptedVendor['collect']>) {
    await super.collect(operation, request, context);
    await writeFile(request.takePath, 'heygen');
    return { path: request.takePath, warnings: [] };
  }
}

/** A local provider that writes its id; `failures` are thrown first. */
class FileProvider implements InlineProvider {
  readonly kind = 'inline';
  readonly facts: InlineProvider['facts'];
  readonly failures: Error[] = [];
  /** Called while a take is made. */
  onRun: () => unknown = () => undefined;
  runs = 0;

  constructor(id: string, degraded: boolean) {
    this.facts = { id, degraded };
  }

  async run({ takePath }: TakeRequest): Promise<Take> {
    this.runs += 1;
    await this.onRun();
    const failure = this.failures.shift();
    if (failure) throw failure;
    await writeFile(takePath, this.facts.id);
    return { path: takePath, warnings: [], costMicros: 0 };
  }
}

/** A job with the providers heygen, wav2lip and preview, on real stores and admission, with scripted assessments. */
export interface GateBench extends RunnerBench {
  readonly vendor: ScriptedVendor;
  readonly wav2lip: FileProvider;
  readonly preview: FileProvider;
  /** Quality of the takes of each provider; nothing measured by default. */
  readonly qualities: Record<string, Partial<Quality>>;
  /** Ids of providers that later runs do not have. */
  readonly unconfigured: Set<string>;
  /** Providers whose takes were assessed, in order. */
  readonly assessed: string[];
  /** Those of them whose takes are known to follow the timeline. */
  readonly trusted: string[];
  /** Fingerprints of the takes that the pipeline has returned. */
  readonly fingerprints: (string | undefined)[];
  /** Called while a take is assessed. */
  onAssess: () => unknown;
  /** Stores the queued job `job_1`. */
  start(options?: LipsyncOptionsInput): Promise<JobRecord>;
  run(change?: Partial<RunnerOptions>, context?: Partial<RunContext>): Promise<JobRecord<'lipsync'>>;
  /** Runs on a store that stops answering after `events` changes of the record. Throws when it does. */
  runUntilCrash(events: number): Promise<JobRecord>;
  /** Content of the output. */
  output(): Promise<string>;
  /** Names of the kept takes of the job. */
  kept(): Promise<readonly string[]>;
  /** Sum of the ledger in micros. */
  ledgerMicros(): Promise<number>;
}

type Sample = Awaited<ReturnType<typeof makeShortSample>>;

const speechOnly: RenderPool = {
  // `as`: the only task that the pipeline starts here is the analysis of the speech.
  run: async <Result>() => ({ voiceFound: true, peakLevelDb: -10 }) as Result,
  warm: () => undefined,
  close: async () => undefined,
};

/** Opens a bench on the files of `makeShortSample`. */
export async function openGateBench(
  { clipPath, speechPath }: Sample,
  gate: Partial<QualityGateOptions> = {},
): Promise<GateBench> {
  const bench = await openRunnerBench();
  const clock = { nowMs: () => bench.time.nowMs };
  const state = createMemoryState().open();
  const ledger = createUncappedLedger({ state, clock });
  const vendor = new FileVendor();
  const wav2lip = new FileProvider('wav2lip', false);
  const preview = new FileProvider('preview', true);
  const options: Omit<LipsyncPipelineOptions, 'activeProviders'> = {
    renderPool: speechOnly,
    limits,
    clock,
    forecast: idleForecast,
    admission: createTestAdmission({ state, clock, ledger }),
    quality: {
      trackCacheFolder: join(bench.workFolder, 'tracks'),
      minSyncScore: null,
      assessor: {
        async run({ videoPath, followsTimeline = false }) {
          const provider = await readFile(videoPath, 'utf8');
          opened.assessed.push(provider);
          if (followsTimeline) opened.trusted.push(provider);
          await opened.onAssess();
          const fingerprint = { key: { sound: '', pictures: '' }, packed: `fingerprint of ${provider}` };
          return { quality: qualityOf(opened.qualities[provider]), trace: emptyTrace, warnings: [], fingerprint };
        },
      },
      ...gate,
    },
  };
  const runnerOn = (store: JobStore, change: Partial<RunnerOptions> = {}) => {
    const configured = [vendor, wav2lip, preview].filter(({ facts }) => !opened.unconfigured.has(facts.id));
    const pipeline = new LipsyncPipeline({ ...options, activeProviders: new ActiveProviders(configured) });
    return bench.runner(
      async (input, context) => {
        const outcome = await pipeline.run(input, context);
        if (outcome.type === 'made') opened.fingerprints.push(outcome.fingerprint?.packed);
        return outcome;
      },
      { store, ...change },
      (...given) => pipeline.abandon(...given),
    );
  };
  const anywhere: RunContext = { signal: new AbortController().signal, canRun: () => true };
  const opened: GateBench = {
    ...bench,
    vendor,
    wav2lip,
    preview,
    qualities: {},
    unconfigured: new Set(),
    assessed: [],
    trusted: [],
    fingerprints: [],
    onAssess: () => undefined,
    async start(options = {}) {
      const put = async (path: string) => {
        const { key } = await bench.artifacts.putInput(createReadStream(path), { maxBytes: 10_000_000 });
        return { kind: 'artifact', key, name: 'file' } as const;
      };
      return bench.accept(options, {}, { video: await put(clipPath), audio: await put(speechPath) });
    },
    async run(change, context) {
      return requireKind(await runnerOn(bench.store, change).run('job_1', { ...anywhere, ...context }), 'lipsync');
    },
    runUntilCrash: (events) => runnerOn(crashAfter(bench.store, events)).run('job_1', anywhere),
    output: async () => text(await bench.artifacts.read('outputs/job_1/output.mp4')),
    kept: () => readdir(join(bench.workFolder, 'job_1')).catch(() => []),
    async ledgerMicros() {
      const rows = await ledger.sum({ groupBy: 'method', fromMs: 0, toMs: bench.time.nowMs + 1 });
      return rows.reduce((sum, { spentMicros, reservedMicros }) => sum + spentMicros + reservedMicros, 0);
    },
  };
  return opened;
}

/** A store that accepts some changes and then fails every call, as for a process that is killed. */
function crashAfter(store: JobStore, events: number): JobStore {
  let left = events;
  const isDead = (): boolean => left < 0;
  return {
    ...store,
    get: (id) => (isDead() ? Promise.reject(new Error('killed')) : store.get(id)),
    append(id, event) {
      if (event.type === 'progressed')
        return store.get(id).then((record) => record ?? Promise.reject(new Error('gone')));
      left -= 1;
      return isDead() ? Promise.reject(new Error('killed')) : store.append(id, event);
    },
  };
}
