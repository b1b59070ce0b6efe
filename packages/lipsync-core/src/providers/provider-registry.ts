import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
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

/**
 * The providers to try, in order, resolved before anything runs. Pure.
 * `auto` takes what is configured; `preview` joins it last when nothing else is configured or when it was allowed.
 * Throws `not_supported` when the method that was asked for is not configured here.
 */
export function resolveChain(registry: ProviderRegistry, options: Pick<LipsyncOptions, 'method' | 'allowPreview'>): readonly Provider[] {
  if (options.method !== 'auto') return [requireProvider(registry, options.method)];
  const real = registry.all.filter((provider) => !provider.facts.degraded);
  const standIns = registry.all.filter((provider) => provider.facts.degraded);
  const chain = real.length === 0 || options.allowPreview ? [...real, ...standIns] : real;
  if (chain.length === 0) throw new LipsyncError('not_supported', 'No provider is configured here.');
  return chain;
}

function requireProvider(registry: ProviderRegistry, id: ProviderId): Provider {
  const provider = registry.get(id);
  if (provider) return provider;
  throw methodNotConfigured(id, registry.all.map(({ facts }) => facts.id));
}

/** The refusal of a method that no provider of this installation stands for. */
export function methodNotConfigured(id: ProviderId, available: readonly ProviderId[]): LipsyncError {
  return new LipsyncError('not_supported', `The method "${id}" is not configured here; available: ${available.join(', ') || 'none'}.`);
}
