import { LipsyncError, memoizeAsync, microsToUsd, type BreakerView, type CostRow } from '@lipsync/core/host';
import { queuesOfLane, workerLanes, type JobCounts, type LaneWork } from '@lipsync/queue';
import { Counter, Gauge, Registry } from 'prom-client';
import type { ApiDependencies } from './dependencies.ts';

type Dependencies = Pick<
  ApiDependencies,
  | 'breaker'
  | 'clock'
  | 'ledger'
  | 'providers'
  | 'readJobCounts'
  | 'readRetentionCounts'
  | 'readStoredJobs'
  | 'readWebhookCounts'
  | 'waitingWork'
>;

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface SharedMetric {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** A gauge by default. */
  readonly isCounter?: true;
  read(): Promise<readonly Sample[]>;
}

const breakerStates: readonly BreakerView['state'][] = ['closed', 'open', 'half_open'];
const dayMs = 24 * 3_600_000;

/** The costs of a day are summed from its entries, which takes longer than the other reads. */
const costCacheMs = 60_000;

/** A scrape reads what several metrics share once. */
const scrapeCacheMs = 1_000;

/** Metrics of the service, which are read from the shared state at each scrape. */
export function createSharedMetrics(dependencies: Dependencies): Registry {
  const registry = new Registry();
  const metrics = [
    ...queueMetrics(dependencies),
    ...jobMetrics(dependencies),
    ...breakerMetrics(dependencies),
    ...costMetrics(dependencies),
    ...countMetrics(dependencies),
  ];
  for (const metric of metrics) addMetric(registry, metric);
  const up = new Gauge({
    name: 'lipsync_shared_state_up',
    help: '1 while Redis answers; without it, the metrics of the service have no samples.',
    registers: [registry],
    async collect() {
      up.set(await dependencies.readWebhookCounts().then(() => 1, ifUnavailable(0)));
    },
  });
  return registry;
}

/** Each metric collects its own values: prom-client reads all metrics at the same time. */
function addMetric(registry: Registry, { name, help, labelNames, isCounter, read }: SharedMetric): void {
  const shared = { name, help, labelNames, registers: [registry] };
  const readSamples = () => read().catch(ifUnavailable<readonly Sample[]>([]));
  if (isCounter) {
    const counter = new Counter({
      ...shared,
      async collect() {
        const samples = await readSamples();
        counter.reset();
        for (const { labels, value } of samples) counter.inc(labels, value);
      },
    });
    return;
  }
  const gauge = new Gauge({
    ...shared,
    async collect() {
      const samples = await readSamples();
      gauge.reset();
      for (const { labels, value } of samples) gauge.set(labels, value);
    },
  });
}

/** An outage leaves the metrics of the process readable. */
function ifUnavailable<Fallback>(fallback: Fallback): (error: unknown) => Fallback {
  return (error) => {
    if (LipsyncError.isInstance(error) && error.code === 'resource_exhausted') return fallback;
    throw error;
  };
}

/** By worker lane; the queues are those that its workers serve. */
function queueMetrics({ waitingWork }: Pick<Dependencies, 'waitingWork'>): readonly SharedMetric[] {
  const byQueue = async (valueOf: (work: LaneWork) => number): Promise<readonly Sample[]> => {
    const work = await waitingWork.read();
    return workerLanes.flatMap((lane) =>
      queuesOfLane[lane].map((queue) => ({ labels: { lane, queue }, value: valueOf(work[queue]) })),
    );
  };
  const labelNames = ['lane', 'queue'];
  return [
    {
      name: 'lipsync_queue_depth',
      help: 'Jobs that a worker could take now.',
      labelNames,
      read: () => byQueue(({ jobs }) => jobs),
    },
    {
      name: 'lipsync_queue_oldest_age_seconds',
      help: 'Time since the acceptance of the oldest job that a worker could take now, 0 without one.',
      labelNames,
      read: () => byQueue(({ oldestAgeMs }) => oldestAgeMs / 1_000),
    },
    {
      name: 'lipsync_waiting_work_seconds',
      help: 'Expected processing time of the jobs that a worker could take now.',
      labelNames: ['lane'],
      read: async () => toSamples('lane', await waitingWork.readSeconds()),
    },
  ];
}

function jobMetrics({
  readJobCounts,
  readStoredJobs,
}: Pick<Dependencies, 'readJobCounts' | 'readStoredJobs'>): readonly SharedMetric[] {
  const readCounts = memoizeAsync<JobCounts>(readJobCounts, { retryAfterFailure: true, lifetimeMs: scrapeCacheMs });
  return [
    {
      name: 'lipsync_jobs',
      help: 'Stored jobs.',
      labelNames: ['kind', 'status'],
      read: async () => (await readStoredJobs()).map(({ count, ...labels }) => ({ labels, value: count })),
    },
    {
      name: 'lipsync_jobs_ended_total',
      help: 'Ends of jobs since the installation began; a retried job ends again.',
      labelNames: ['kind', 'status', 'method', 'code'],
      isCounter: true,
      read: async () => (await readCounts()).ended.map(({ count, ...labels }) => ({ labels, value: count })),
    },
    {
      name: 'lipsync_attempts_total',
      help: 'Ended attempts since the installation began.',
      labelNames: ['provider', 'outcome', 'code'],
      isCounter: true,
      read: async () => (await readCounts()).attempts.map(({ count, ...labels }) => ({ labels, value: count })),
    },
    {
      name: 'lipsync_cache_hits_total',
      help: 'Jobs that reused the result of an equal one, since the installation began.',
      labelNames: [],
      isCounter: true,
      read: async () => [{ labels: {}, value: (await readCounts()).cacheHits }],
    },
    {
      name: 'lipsync_unmarked_outputs_total',
      help: 'Outputs that could not be marked with their origin, since the installation began.',
      labelNames: [],
      isCounter: true,
      read: async () => [{ labels: {}, value: (await readCounts()).unmarkedOutputs }],
    },
  ];
}

function breakerMetrics({ providers, breaker }: Pick<Dependencies, 'providers' | 'breaker'>): readonly SharedMetric[] {
  const remote = providers.filter(({ kind, missingSetting }) => kind === 'remote' && missingSetting === null);
  const readViews = () =>
    Promise.all(remote.map(async ({ id }) => ({ provider: id, view: await breaker.inspect(id) })));
  return [
    {
      name: 'lipsync_breaker_state',
      help: '1 for the current state of the circuit breaker of a provider, 0 for the other states.',
      labelNames: ['provider', 'state'],
      read: async () =>
        (await readViews()).flatMap(({ provider, view }) =>
          breakerStates.map((state) => ({ labels: { provider, state }, value: state === view.state ? 1 : 0 })),
        ),
    },
    {
      name: 'lipsync_breaker_openings',
      help: 'Openings of the circuit breaker of a provider since it was last closed.',
      labelNames: ['provider'],
      read: async () =>
        (await readViews()).map(({ provider, view }) => ({ labels: { provider }, value: view.openings })),
    },
  ];
}

function costMetrics({ ledger, clock }: Pick<Dependencies, 'ledger' | 'clock'>): readonly SharedMetric[] {
  const sumToday = (): Promise<readonly CostRow[]> => {
    const fromMs = Math.floor(clock.nowMs() / dayMs) * dayMs;
    return ledger.sum({ fromMs, toMs: fromMs + dayMs, groupBy: 'method' });
  };
  const readRows = memoizeAsync(sumToday, { retryAfterFailure: true, lifetimeMs: costCacheMs });
  const byProvider = async (microsOf: (row: CostRow) => number): Promise<readonly Sample[]> =>
    (await readRows()).map((row) => ({ labels: { provider: row.key ?? '' }, value: microsToUsd(microsOf(row)) ?? 0 }));
  const labelNames = ['provider'];
  return [
    {
      name: 'lipsync_spent_today_usd',
      help: 'Settled cost of the attempts that started on this UTC day.',
      labelNames,
      read: () => byProvider(({ spentMicros }) => spentMicros),
    },
    {
      name: 'lipsync_reserved_today_usd',
      help: 'Reserved cost of the attempts that started on this UTC day.',
      labelNames,
      read: () => byProvider(({ reservedMicros }) => reservedMicros),
    },
  ];
}

function countMetrics({
  readRetentionCounts,
  readWebhookCounts,
}: Pick<Dependencies, 'readRetentionCounts' | 'readWebhookCounts'>): readonly SharedMetric[] {
  return [
    {
      name: 'lipsync_retention_deleted',
      help: 'Jobs whose inputs, outputs or records were deleted because of their age, since the installation began.',
      labelNames: ['data'],
      read: async () => toSamples('data', await readRetentionCounts()),
    },
    {
      name: 'lipsync_webhook_deliveries',
      help: 'Deliveries of webhooks that were completed or failed, and tries that were retried, since the installation began.',
      labelNames: ['result'],
      read: async () => toSamples('result', await readWebhookCounts()),
    },
  ];
}

function toSamples(label: string, values: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}
