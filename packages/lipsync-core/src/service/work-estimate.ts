import { systemClock } from '../contract/system-ports.ts';
import type { Clock } from '../contract/ports.ts';
import { isUnderWay, nextWork, type JobRecord } from '../jobs/job-record.ts';
import type { ForecastProvider } from '../scheduling/completion-forecast.ts';
import { ThroughputEstimates, type MeasuredWork, type ThroughputProfile } from '../scheduling/throughput-estimates.ts';
import type { StateStore } from '../storage/state-store.ts';
import { listUsable, type ProviderConfig } from './installation.ts';

/** Throughput of quality jobs, by the length of the video. The key is stored data. */
const qualityThroughput: ThroughputProfile = Object.freeze({ key: 'quality', fixedMs: 2_000, perSecondMs: 500 });

/** Assumed time of steps that no estimate covers: a download, planning, a look at a running operation, a webhook. */
const shortStepMs = 2_000;

/** Assumed length of an output while neither its length nor the time of recent outputs is known. */
const assumedOutputMs = 30_000;

/** What a worker does when it takes a job now; undefined for a short step. */
interface WaitingOutput {
  readonly profile: ThroughputProfile;
  /** Length of the output; undefined while it is unknown. */
  readonly durationMs: number | undefined;
}

/**
 * Returns a function that estimates how long a worker is occupied with each of these queued jobs, in milliseconds and
 * in order, by the throughput estimates of the installation. Before the length of an output is known, the time of
 * recent outputs stands for it. The function throws `resource_exhausted` when the state store is unavailable.
 */
export function createWorkEstimate(
  config: ProviderConfig,
  { state, clock = systemClock }: { readonly state: StateStore; readonly clock?: Clock },
): (records: readonly JobRecord[]) => Promise<readonly number[]> {
  const providers = listUsable(config);
  const estimates = new ThroughputEstimates({ state, clock });
  return async (records) => {
    const outputs = records.map((record) => findOutput(record, providers));
    const works = outputs.flatMap((output) => (output ? [toWork(output)] : []));
    const timesMs = (await estimates.readEach(works)).values();
    return outputs.map((output) => {
      if (!output) return shortStepMs;
      const { workMs = shortStepMs, typicalMs = shortStepMs, isMeasured = false } = timesMs.next().value ?? {};
      return output.durationMs === undefined && isMeasured ? typicalMs : workMs;
    });
  };
}

function toWork({ profile, durationMs = assumedOutputMs }: WaitingOutput): MeasuredWork {
  return { profile, durationMs };
}

function findOutput(record: JobRecord, providers: readonly ForecastProvider[]): WaitingOutput | undefined {
  if (record.cancelRequested || nextWork(record) === 'fetch') return undefined;
  if (record.kind === 'quality') return { profile: qualityThroughput, durationMs: undefined };
  // An operation that runs at the vendor occupies a worker only while its state is read.
  if (record.kind !== 'lipsync' || isUnderWay(record)) return undefined;
  const { options } = record.spec;
  const provider = findProvider(record, providers);
  if (!provider) return undefined;
  const { startMs = 0, endMs } = options;
  const windowMs = endMs === undefined ? undefined : endMs - startMs;
  return { profile: provider.throughput(options), durationMs: record.outputMs ?? windowMs };
}

/**
 * The provider that works first; undefined for a remote job without a plan, which planning may move to another lane.
 */
function findProvider(
  { plan, needs, spec }: JobRecord<'lipsync'>,
  providers: readonly ForecastProvider[],
): ForecastProvider | undefined {
  const kind = needs ?? 'inline';
  if (plan === null && kind === 'remote') return undefined;
  const { method } = spec.options;
  const isCandidate = ({ id }: ForecastProvider): boolean =>
    plan === null ? method === 'auto' || method === id : plan.some(({ provider }) => provider === id);
  return providers.find((provider) => provider.kind === kind && isCandidate(provider));
}
