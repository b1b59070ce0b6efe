import type { ProviderId } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { listProviderIds, type ExecutionPlan } from '../scheduling/execution-plan.ts';
import type { Provider } from './provider.ts';

/** The providers that this installation has, by id. */
export interface ProviderRegistry {
  readonly all: readonly Provider[];
  get(id: ProviderId): Provider | undefined;
}

/** Builds the registry. Throws `internal` when two providers share an id. */
export function createProviderRegistry(providers: readonly Provider[]): ProviderRegistry {
  const byId = new Map(providers.map((provider) => [provider.facts.id, provider]));
  if (byId.size !== providers.length) throw new LipsyncError('internal', 'Two providers share one id.');
  return { all: Object.freeze([...providers]), get: (id) => byId.get(id) };
}

/** The providers of a plan that this process has, in its order. Throws `not_supported` when it has none of them. */
export function chainOf(registry: ProviderRegistry, plan: ExecutionPlan): readonly Provider[] {
  const chain = plan.flatMap(({ provider }) => registry.get(provider) ?? []);
  if (chain.length === 0)
    throw new LipsyncError(
      'not_supported',
      `No provider of the job's plan is configured here: ${listProviderIds(plan).join(', ')}.`,
    );
  return chain;
}
