import { queuesOfLane, workerLanes, type LaneWork, type WaitingWork } from '@lipsync/queue';
import { Gauge, Registry } from 'prom-client';
import { z } from 'zod';
import type { BreakerView } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import type { Route } from './route.ts';

type Dependencies = Pick<
  ApiDependencies,
  'providers' | 'breaker' | 'readRetentionCounts' | 'readWebhookCounts' | 'waitingWork'
>;

const states: readonly BreakerView['state'][] = ['closed', 'open', 'half_open'];

/**
 * Metrics in Prometheus text format, read from the shared state at each request, so that every API reports the same.
 */
export function metricRoutes(dependencies: Dependencies): readonly Route[] {
  const registry = createRegistry(dependencies);
  return [
    {
      method: 'get',
      path: '/metrics',
      documentation: {
        operationId: 'getMetrics',
        tag: 'Operations',
        summary: 'Metrics in Prometheus text format',
        responses: { 200: { description: 'The metrics.', content: { 'text/plain': { schema: z.string() } } } },
      },
      async handle(_request, response) {
        response.set('Content-Type', registry.contentType).send(await registry.metrics());
      },
    },
  ];
}

/** Each metric collects its own values: prom-client reads all metrics at the same time. */
function createRegistry({
  providers,
  breaker,
  readRetentionCounts,
  readWebhookCounts,
  waitingWork,
}: Dependencies): Registry {
  const registry = new Registry();
  addQueueMetrics(registry, waitingWork);
  const remote = providers.filter(({ kind, missingSetting }) => kind === 'remote' && missingSetting === null);
  const readViews = () =>
    Promise.all(remote.map(async ({ id }) => ({ provider: id, view: await breaker.inspect(id) })));
  const state = new Gauge({
    name: 'lipsync_breaker_state',
    help: '1 for the current state of the circuit breaker of a provider, 0 for the other states.',
    labelNames: ['provider', 'state'],
    registers: [registry],
    async collect() {
      for (const { provider, view } of await readViews()) {
        for (const name of states) state.set({ provider, state: name }, name === view.state ? 1 : 0);
      }
    },
  });
  const openings = new Gauge({
    name: 'lipsync_breaker_openings',
    help: 'Openings of the circuit breaker of a provider since it was last closed.',
    labelNames: ['provider'],
    registers: [registry],
    async collect() {
      for (const { provider, view } of await readViews()) openings.set({ provider }, view.openings);
    },
  });
  const deleted = new Gauge({
    name: 'lipsync_retention_deleted',
    help: 'Jobs whose inputs, outputs or records were deleted because of their age, since the installation began.',
    labelNames: ['data'],
    registers: [registry],
    async collect() {
      for (const [data, count] of Object.entries(await readRetentionCounts())) deleted.set({ data }, count);
    },
  });
  const deliveries = new Gauge({
    name: 'lipsync_webhook_deliveries',
    help: 'Deliveries of webhooks that were completed or failed, and tries that were retried, since the installation began.',
    labelNames: ['result'],
    registers: [registry],
    async collect() {
      for (const [result, count] of Object.entries(await readWebhookCounts())) deliveries.set({ result }, count);
    },
  });
  return registry;
}

/** By worker lane; the queues are those that its workers serve. */
function addQueueMetrics(registry: Registry, waitingWork: Pick<WaitingWork, 'read' | 'readSeconds'>): void {
  const addByQueue = (name: string, help: string, valueOf: (work: LaneWork) => number): void => {
    const gauge = new Gauge({
      name,
      help,
      labelNames: ['lane', 'queue'],
      registers: [registry],
      async collect() {
        const work = await waitingWork.read();
        for (const lane of workerLanes) {
          for (const queue of queuesOfLane[lane]) gauge.set({ lane, queue }, valueOf(work[queue]));
        }
      },
    });
  };
  addByQueue('lipsync_queue_depth', 'Jobs that a worker could take now.', ({ jobs }) => jobs);
  addByQueue(
    'lipsync_queue_oldest_age_seconds',
    'Time since the acceptance of the oldest job that a worker could take now, 0 without one.',
    ({ oldestAgeMs }) => oldestAgeMs / 1_000,
  );
  const seconds = new Gauge({
    name: 'lipsync_waiting_work_seconds',
    help: 'Expected processing time of the jobs that a worker could take now.',
    labelNames: ['lane'],
    registers: [registry],
    async collect() {
      for (const [lane, value] of Object.entries(await waitingWork.readSeconds())) seconds.set({ lane }, value);
    },
  });
}
