import { Registry } from 'prom-client';
import { z } from 'zod';
import type { ApiDependencies } from '../dependencies.ts';
import { createSharedMetrics } from '../shared-metrics.ts';
import type { Route } from './route.ts';

/**
 * Metrics in Prometheus text format: those of the service, read from the shared state at each request, so that every API
 * reports the same, and those of this process.
 */
export function metricRoutes(dependencies: ApiDependencies): readonly Route[] {
  const registry = Registry.merge([createSharedMetrics(dependencies), dependencies.metrics]);
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
