import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { ProviderKind } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';

/** What must hold before an attempt of a step starts. */
export type PlanCondition =
  /** One of the provider's concurrency slots is free; the job waits for one. */
  | 'slot'
  /** The provider's circuit breaker admits the call; otherwise the next step follows. */
  | 'breaker';

/** One provider of a plan. Stored as JSON with the job record; `providers/retry-policy.ts` applies `maxTries`. */
export interface PlanStep {
  readonly provider: ProviderId;
  readonly kind: ProviderKind;
  /** Failed attempts after which the next step follows. */
  readonly maxTries: number;
  readonly conditions: readonly PlanCondition[];
  /** Cap over all attempts of the job, in USD as in the request; null for none. */
  readonly costCapUsd: number | null;
}

/** The steps of a job in order, resolved before anything runs. Each provider appears at most once. */
export type ExecutionPlan = readonly PlanStep[];

/** A provider of this installation, as far as planning depends on it. */
export interface PlannedProvider {
  readonly id: ProviderId;
  readonly kind: ProviderKind;
  readonly degraded: boolean;
}

export type PlanOptions = Pick<LipsyncOptions, 'method' | 'optimize' | 'allowPreview'> &
  Partial<Pick<LipsyncOptions, 'maxCostUsd'>>;

/** What the order may depend on beyond the request. */
export interface PlanOutlook {
  readonly durationMs: number;
  /** Expected time to completion, including the wait for a slot. A missing provider counts as the slowest. */
  readonly expectedMs: ReadonlyMap<ProviderId, number>;
}

/** Tries of one provider within one job. */
export const maxTriesPerProvider = 3;

/** From this output length on, `balanced` tries local providers first. */
const balancedLimitMs = 30_000;

const noOutlook: PlanOutlook = Object.freeze({ durationMs: 0, expectedMs: new Map<ProviderId, number>() });

/** Whether `planExecution` needs an outlook for these options. Pure. */
export function dependsOnOutlook(usable: readonly PlannedProvider[], { method, optimize }: PlanOptions): boolean {
  if (method !== 'auto' || optimize === 'quality' || optimize === 'cost') return false;
  const kinds = new Set(usable.filter(isReal).map(({ kind }) => kind));
  return kinds.size > 1;
}

/**
 * Plans the steps of a job. `usable` lists the configured providers in the order of `auto`. Degraded providers come
 * last, and only when they are allowed or nothing else is configured. Throws `not_supported` when the requested method
 * is not configured. Pure.
 */
export function planExecution(
  usable: readonly PlannedProvider[],
  options: PlanOptions,
  outlook: PlanOutlook = noOutlook,
): ExecutionPlan {
  return orderProviders(usable, options, outlook).map((provider) => toPlanStep(provider, options));
}

/** The step of a provider. Pure. */
export function toPlanStep(
  { id, kind }: Pick<PlannedProvider, 'id' | 'kind'>,
  { maxCostUsd }: Pick<PlanOptions, 'maxCostUsd'>,
): PlanStep {
  return {
    provider: id,
    kind,
    maxTries: maxTriesPerProvider,
    conditions: kind === 'remote' ? ['slot', 'breaker'] : [],
    costCapUsd: maxCostUsd ?? null,
  };
}

/** The provider ids of a plan, as `plan` in the API. */
export function listProviderIds(plan: ExecutionPlan): ProviderId[] {
  return plan.map(({ provider }) => provider);
}

/** The error for a method that is not configured. */
export function methodNotConfigured(id: ProviderId, available: readonly ProviderId[]): LipsyncError {
  return new LipsyncError(
    'not_supported',
    `The method "${id}" is not configured here; available: ${available.join(', ') || 'none'}. The command doctor and GET /providers name the missing setting.`,
  );
}

function orderProviders(
  usable: readonly PlannedProvider[],
  { method, optimize, allowPreview }: PlanOptions,
  outlook: PlanOutlook,
): readonly PlannedProvider[] {
  if (method !== 'auto') {
    const requested = usable.filter(({ id }) => id === method);
    const ids = usable.map(({ id }) => id);
    if (requested.length === 0) throw methodNotConfigured(method, ids);
    return requested;
  }
  const real = usable.filter(isReal);
  const degraded = real.length === 0 || allowPreview ? usable.filter((provider) => !isReal(provider)) : [];
  const ordered = [...inOrder(real, optimize, outlook), ...degraded];
  if (ordered.length === 0) throw new LipsyncError('not_supported', 'No provider is configured here.');
  return ordered;
}

function inOrder(
  real: readonly PlannedProvider[],
  optimize: LipsyncOptions['optimize'],
  { durationMs, expectedMs }: PlanOutlook,
): readonly PlannedProvider[] {
  switch (optimize) {
    case 'quality':
      return withKindFirst(real, 'remote');
    case 'cost':
      return withKindFirst(real, 'inline');
    case 'balanced':
      return withKindFirst(real, durationMs < balancedLimitMs ? 'remote' : 'inline');
    case 'speed':
      return real.toSorted((one, other) =>
        compare(expectedMs.get(one.id) ?? Infinity, expectedMs.get(other.id) ?? Infinity),
      );
  }
}

function withKindFirst(providers: readonly PlannedProvider[], first: ProviderKind): readonly PlannedProvider[] {
  return [...providers.filter(({ kind }) => kind === first), ...providers.filter(({ kind }) => kind !== first)];
}

/** A subtraction would yield NaN for two infinite times. */
function compare(one: number, other: number): number {
  return one === other ? 0 : one < other ? -1 : 1;
}

function isReal({ degraded }: PlannedProvider): boolean {
  return !degraded;
}
