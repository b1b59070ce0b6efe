import type { HeygenMode, ProviderId } from '../contract/index.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { ConcurrencySlots } from './concurrency-slots.ts';
import type { ProviderKind } from '../contract/provider-types.ts';
import type { ThroughputEstimate, MeasuredWork, ThroughputEstimates } from './throughput-estimates.ts';

/** A provider whose time can be told. */
export interface ForeseenProvider {
  readonly id: ProviderId;
  readonly kind: ProviderKind;
  /** Operations at once, over all machines; null for what computes here. */
  readonly maxConcurrent: number | null;
}

/** Work for the render lane, over all machines. */
export interface Load {
  /** Jobs that render or wait to render. */
  readonly inlineJobs: number;
  /** Jobs that can render at once. */
  readonly inlineSeats: number;
}

/** What is to be made. */
export interface ExpectedOutput {
  readonly durationMs: number;
  readonly heygenMode: HeygenMode;
  /** The job, where it waits for a slot already: only jobs ahead of it count. */
  readonly waitingJobId?: string;
}

export interface Expectation {
  readonly provider: ProviderId;
  /**
   * Until it can be begun; null while the provider is not asked, because its breaker is open. A breaker that waits for its
   * probe is asked: nothing else would ever close it.
   */
  readonly waitMs: number | null;
  /** From then until the take is there. */
  readonly workMs: number;
  /** Whether `workMs` comes from takes of this installation. */
  readonly isMeasured: boolean;
}

/** Tells how long providers would take now, from how long they took before. Throws what the state store and `load` throw. */
export interface Forecast {
  expect(output: ExpectedOutput): Promise<readonly Expectation[]>;
  /**
   * Tells that an attempt made a take in `tookMs`, in a job no run of which ended without a word. Pauses that the vendor
   * asked for are part of it: the next one may meet them, too.
   */
  learn(work: MeasuredWork, tookMs: number): Promise<void>;
}

export interface ForecastDependencies {
  readonly providers: readonly ForeseenProvider[];
  readonly paces: ThroughputEstimates;
  readonly slots: Pick<ConcurrencySlots, 'holders' | 'countWaiting'>;
  readonly breaker: Pick<CircuitBreaker, 'look'>;
  /** No load by default. */
  load?(): Promise<Load>;
}

const noLoad: Load = Object.freeze({ inlineJobs: 0, inlineSeats: 1 });

export function createForecast({
  providers,
  paces,
  slots,
  breaker,
  load = async () => noLoad,
}: ForecastDependencies): Forecast {
  const waitOf = async (
    { id, maxConcurrent }: ForeseenProvider,
    { typicalMs }: ThroughputEstimate,
    { inlineJobs, inlineSeats }: Load,
    waitingJobId: string | undefined,
  ): Promise<number | null> => {
    if (maxConcurrent === null) return expectedWaitMs({ busy: inlineJobs, seats: inlineSeats, typicalMs });
    if ((await breaker.look(id)).state === 'open') return null;
    const held = (await slots.holders(id)).length;
    const ahead = await slots.countWaiting(id, waitingJobId);
    return expectedWaitMs({ busy: held + ahead, seats: maxConcurrent, typicalMs });
  };
  return {
    learn: (work, tookMs) => paces.learn(work, tookMs),
    async expect({ durationMs, heygenMode, waitingJobId }) {
      const now = await load();
      return Promise.all(
        providers.map(async (provider) => {
          const pace = await paces.look({ provider: provider.id, heygenMode, durationMs });
          return {
            provider: provider.id,
            waitMs: await waitOf(provider, pace, now, waitingJobId),
            workMs: pace.workMs,
            isMeasured: pace.isMeasured,
          };
        }),
      );
    },
  };
}

export interface Line {
  /** Jobs that have a seat or wait for one. */
  readonly busy: number;
  readonly seats: number;
  /** How long a job keeps its seat. */
  readonly typicalMs: number;
}

/** How long the next one waits for a seat, when seats become free one after the other at equal distances. Pure. */
export function expectedWaitMs({ busy, seats, typicalMs }: Line): number {
  const ahead = Math.max(0, busy + 1 - seats);
  return Math.round((ahead * typicalMs) / seats);
}

/** How long it takes all in all; endless for a provider that is not asked. Pure. */
export function expectedMs({ waitMs, workMs }: Expectation): number {
  return waitMs === null ? Infinity : waitMs + workMs;
}
