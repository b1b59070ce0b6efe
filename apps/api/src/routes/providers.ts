import { microsToUsd, type ProviderStatus } from '@lipsync/core/host';
import { providersViewSchema, type ProvidersView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { jsonResponse } from '../reference/documentation.ts';
import type { Route } from './route.ts';

/** The providers of this installation, with prices, device and license. */
export function providerRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/providers',
      documentation: {
        operationId: 'listProviders',
        tag: 'Planning',
        summary: 'List the providers of this installation',
        description: 'Balances at vendors are queried at most once a minute.',
        responses: { 200: jsonResponse('The providers.', providersViewSchema) },
      },
      async handle(_request, response) {
        const view: ProvidersView = {
          providers: await Promise.all(dependencies.providers.map((provider) => viewProvider(provider, dependencies))),
          quality: dependencies.qualityModels,
        };
        response.json(view);
      },
    },
  ];
}

type Dependencies = Pick<ApiDependencies, 'providers' | 'breaker' | 'qualityModels'>;

async function viewProvider(
  provider: ProviderStatus,
  { breaker }: Dependencies,
): Promise<ProvidersView['providers'][number]> {
  const { id, missingSetting, degraded, microsPerSecond } = provider;
  const { device, licence, modelPrecision, modelSuitsDevice, balanceMicros } = await provider.inspect();
  const { state, reason, openUntilMs } = await breaker.inspect(id);
  return {
    id,
    configured: missingSetting === null,
    missing_setting: missingSetting,
    degraded,
    device,
    licence,
    model_precision: modelPrecision,
    model_suits_device: modelSuitsDevice,
    usd_per_second:
      microsPerSecond &&
      Object.fromEntries(Object.entries(microsPerSecond).map(([mode, micros]) => [mode, microsToUsd(micros)])),
    balance_usd: balanceMicros === null ? null : microsToUsd(balanceMicros),
    breaker: { state, reason, open_until: openUntilMs === null ? null : new Date(openUntilMs).toISOString() },
  };
}
