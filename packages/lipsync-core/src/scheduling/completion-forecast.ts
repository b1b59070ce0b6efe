import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { ProviderKind } from '../contract/provider-types.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { ConcurrencySlots } from './concurrency-slots.ts';
import type { ThroughputEstimate, ThroughputEstimates, ThroughputProfile } from './throughput-estimates.ts';

/** A provider whose completion times can be forecast. */
export interface ForecastProvider {
  readonly id: ProviderId;
  readonly kind: ProviderKind;
  /** Maximum number of simultaneous operations, over all machines; null for a provider that runs on this machine. */
  readonly maxConcurrent: number | null;
  throughput(options: LipsyncOptions): ThroughputProfile;
}

/** Work for the render lane, over all machines. */
export interface Load {
  /** Jobs that render or wait to render. */
  readonly inlineJobs: number;
  /** Number of jobs that can render at the same time. */
  readonly inlineSeats: number;
}

export interface ExpectedOutput {
  readonly durationMs: number;
  readonly options: LipsyncOptions;
  /** The job, if it waits for a slot already: only jobs ahead of it count. */
  readonly waitingJobId?: string;
  /** Jobs that are queued before it besides those of `load`; none by default. */
  readonly jobsAhead?: number;
}

export interface Expectation {
  readonly provider: ProviderId;
  /**
   * Time until the work can start; null while the circuit breaker is open. A half-open breaker counts as closed, since
   * only a job that is sent there can close it.
   */
  readonly waitMs: number | null;
  /** Time from the start of the work to the take. */
  readonly workMs: number;
  /** Processing time of recent outputs of this kind, of any length. */
  readonly typicalMs: number;
  /** Whether both come from takes of this installation. */
  readonly isMeasured: boolean;
}

/** Forecasts when each provider would be done with an output. An interface, because tests replace it. */
export interface Forecast {
  /** Throws `resource_exhausted` when the state store is unavailable; rethrows errors of `load`. */
  expect(output: ExpectedOutput): Promise<readonly Expectation[]>;
  /**
   * Records the duration of an attempt that produced a take in a job without a crashed run. Pauses that the vendor
   * requested count, since the next attempt may meet them too. Throws `resource_exhausted` when the state store is
   * unavailable.
   */
  record(output: ExpectedOutput & { readonly provider: ProviderId }, tookMs: number): Promise<void>;
}

export interface ForecastOptions {
  readonly providers: readonly ForecastProvider[];
  readonly estimates: ThroughputEstimates;
  readonly slots: Pick<ConcurrencySlots, 'holders' | 'countWaiting'>;
  readonly breaker: Pick<CircuitBreaker, 'inspect'>;
  /** No load by default. */
  load?(): Promise<Load>;
}

const noLoad: Load = Object.freeze({ inlineJobs: 0, inlineSeats: 1 });

export function createForecast({
  providers,
  estimates,
  slots,
  breaker,
  load = async () => noLoad,
}: ForecastOptions): Forecast {
  const waitOf = async (
    { id, maxConcurrent }: ForecastProvider,
    { typicalMs }: ThroughputEstimate,
    { inlineJobs, inlineSeats }: Load,
    { waitingJobId, jobsAhead = 0 }: Pick<ExpectedOutput, 'waitingJobId' | 'jobsAhead'>,
  ): Promise<number | null> => {
    if (maxConcurrent === null)
      return expectedWaitMs({ busy: inlineJobs + jobsAhead, capacity: inlineSeats, typicalMs });
    if ((await breaker.inspect(id)).state === 'open') return null;
    const held = (await slots.holders(id)).length;
    const ahead = await slots.countWaiting(id, waitingJobId);
    return expectedWaitMs({ busy: held + ahead + jobsAhead, capacity: maxConcurrent, typicalMs });
  };
  return {
    async record({ provider, options, durationMs }, tookMs) {
      const profile = providers.find(({ id }) => id === provider)?.throughput(options);
      if (profile) await estimates.record({ profile, durationMs }, tookMs);
    },
    async expect({ durationMs, options, ...queued }) {
      const now = await load();
      return Promise.all(
        providers.map(async (provider) => {
          const estimate = await estimates.read({ profile: provider.throughput(options), durationMs });
          return {
            provider: provider.id,
            waitMs: await waitOf(provider, estimate, now, queued),
            workMs: estimate.workMs,
            typicalMs: estimate.typicalMs,
            isMeasured: estimate.isMeasured,
          };
        }),
      );
    },
  };
}

export interface Occupancy {
  /** Jobs that run or wait. */
  readonly busy: number;
  /** Jobs that can run at the same time. */
  readonly capacity: number;
  /** Duration of a typical job. */
  readonly typicalMs: number;
}

/** Time until the next job can start, if running jobs end at equal intervals. Pure. */
export function expectedWaitMs({ busy, capacity, typicalMs }: Occupancy): number {
  const ahead = Math.max(0, busy + 1 - capacity);
  return Math.round((ahead * typicalMs) / capacity);
}

/** Time until the take, waiting included; infinite while the circuit breaker is open. Pure. */
export function expectedMs({ waitMs, workMs }: Expectation): number {
  return waitMs === null ? Infinity : waitMs + workMs;
}
