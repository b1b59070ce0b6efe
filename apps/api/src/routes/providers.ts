import type { ApiDependencies } from '../dependencies.ts';
import type { Route } from './route.ts';

/** What can make videos here, and under which licence. */
export function providerRoutes({ providers }: Pick<ApiDependencies, 'providers'>): readonly Route[] {
  const body = {
    providers: providers.map(({ id, missingSetting, degraded, licence }) => ({
      id, configured: missingSetting === null, missing_setting: missingSetting, degraded, licence,
    })),
  };
  return [{ method: 'get', path: '/providers', handle: (_request, response) => void response.json(body) }];
}
