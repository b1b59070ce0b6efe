import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import type { ProviderKind } from '../contract/provider-types.ts';

/** The providers of a job in the order in which they are tried, each at most once. */
export type ProviderPlan = readonly ProviderId[];

/** A provider of this installation, as a plan sees it. */
export interface PlannedProvider {
  readonly id: ProviderId;
  readonly kind: ProviderKind;
  readonly degraded: boolean;
}

export type PlanOptions = Pick<LipsyncOptions, 'method' | 'optimize' | 'allowPreview'>;

/** What the order may depend on beyond the request. */
export interface PlanOutlook {
  /** How long the output is going to be. */
  readonly durationMs: number;
  /** How long each provider would take from now on, waiting included; one that is not in it counts as the slowest. */
  readonly expectedMs: ReadonlyMap<ProviderId, number>;
}

/** From this length on, `balanced` leaves an output to the local engine first. */
const balancedLimitMs = 30_000;

const noOutlook: PlanOutlook = Object.freeze({ durationMs: 0, expectedMs: new Map<ProviderId, number>() });

/** Whether the order cannot be told from the request alone: `planProviders` then wants an outlook. Pure. */
export function dependsOnOutlook(usable: readonly PlannedProvider[], { method, optimize }: PlanOptions): boolean {
  if (method !== 'auto' || optimize === 'quality' || optimize === 'cost') return false;
  const kinds = new Set(usable.filter(isReal).map(({ kind }) => kind));
  return kinds.size > 1;
}

/**
 * The providers to try, resolved before anything runs. Pure. `usable` are those that are configured, in the order of
 * `auto`. Stand-ins come last whatever is optimized, and only where nothing else is configured or they were allowed.
 * Throws `not_supported` when what was asked for is not configured.
 */
export function planProviders(
  usable: readonly PlannedProvider[],
  options: PlanOptions,
  outlook: PlanOutlook = noOutlook,
): ProviderPlan {
  const { method, optimize, allowPreview } = options;
  const ids = usable.map(({ id }) => id);
  if (method !== 'auto') {
    if (!ids.includes(method)) throw methodNotConfigured(method, ids);
    return [method];
  }
  const real = usable.filter(isReal);
  const standIns = real.length === 0 || allowPreview ? usable.filter(({ degraded }) => degraded) : [];
  const plan = [...inOrder(real, optimize, outlook), ...standIns].map(({ id }) => id);
  if (plan.length === 0) throw new LipsyncError('not_supported', 'No provider is configured here.');
  return plan;
}

/** The refusal of a method that no provider of this installation stands for. */
export function methodNotConfigured(id: ProviderId, available: readonly ProviderId[]): LipsyncError {
  return new LipsyncError(
    'not_supported',
    `The method "${id}" is not configured here; available: ${available.join(', ') || 'none'}.`,
  );
}

function inOrder(
  real: readonly PlannedProvider[],
  optimize: LipsyncOptions['optimize'],
  { durationMs, expectedMs }: PlanOutlook,
): readonly PlannedProvider[] {
  switch (optimize) {
    case 'quality':
      return ofKindFirst(real, 'remote');
    case 'cost':
      return ofKindFirst(real, 'inline');
    case 'balanced':
      return ofKindFirst(real, durationMs < balancedLimitMs ? 'remote' : 'inline');
    case 'speed':
      return real.toSorted((one, other) =>
        compare(expectedMs.get(one.id) ?? Infinity, expectedMs.get(other.id) ?? Infinity),
      );
  }
}

function ofKindFirst(providers: readonly PlannedProvider[], first: ProviderKind): readonly PlannedProvider[] {
  return [...providers.filter(({ kind }) => kind === first), ...providers.filter(({ kind }) => kind !== first)];
}

/** Not a difference: two that are endless would make none that is a number. */
function compare(one: number, other: number): number {
  return one === other ? 0 : one < other ? -1 : 1;
}

function isReal({ degraded }: PlannedProvider): boolean {
  return !degraded;
}
