import type { BreakerView } from '@lipsync/core';
import type { ApiDependencies } from '../dependencies.ts';
import type { Route } from './route.ts';

type Dependencies = Pick<ApiDependencies, 'providers' | 'breaker'>;

const states: readonly BreakerView['state'][] = ['closed', 'open', 'half_open'];

/** Figures for Prometheus, in its text format. Read from the shared state when asked, so that every API tells the same. */
export function metricRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/metrics',
      async handle(_request, response) {
        response.type('text/plain; version=0.0.4; charset=utf-8').send(await breakerMetrics(dependencies));
      },
    },
  ];
}

async function breakerMetrics({ providers, breaker }: Dependencies): Promise<string> {
  const remote = providers.filter(({ kind, missingSetting }) => kind === 'remote' && missingSetting === null);
  const views = await Promise.all(remote.map(async ({ id }) => ({ id, ...(await breaker.look(id)) })));
  const lines = [
    '# HELP lipsync_breaker_state 1 for the state that the breaker of a provider is in, 0 for the others.',
    '# TYPE lipsync_breaker_state gauge',
    ...views.flatMap(({ id, state }) =>
      states.map((name) => `lipsync_breaker_state{provider="${id}",state="${name}"} ${name === state ? 1 : 0}`),
    ),
    '# HELP lipsync_breaker_openings How often the breaker of a provider has opened since it was last closed.',
    '# TYPE lipsync_breaker_openings gauge',
    ...views.map(({ id, openings }) => `lipsync_breaker_openings{provider="${id}"} ${openings}`),
  ];
  return `${lines.join('\n')}\n`;
}
