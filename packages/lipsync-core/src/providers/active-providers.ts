import type { ProviderId } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { listProviderIds, type ExecutionPlan } from '../scheduling/execution-plan.ts';
import type { Provider } from './provider.ts';

/** The providers of this process, by id. */
export class ActiveProviders {
  readonly all: readonly Provider[];
  readonly #byId: ReadonlyMap<ProviderId, Provider>;

  /** Throws `internal` when two providers share an id. */
  constructor(providers: readonly Provider[]) {
    this.all = Object.freeze([...providers]);
    this.#byId = new Map(providers.map((provider) => [provider.facts.id, provider]));
    if (this.#byId.size !== providers.length) throw new LipsyncError('internal', 'Two providers share one id.');
  }

  get(id: ProviderId): Provider | undefined {
    return this.#byId.get(id);
  }

  /** The providers of a plan that this process has, in the plan's order. Throws `not_supported` when it has none. */
  chainOf(plan: ExecutionPlan): readonly Provider[] {
    const chain = plan.flatMap(({ provider }) => this.get(provider) ?? []);
    if (chain.length > 0) return chain;
    throw new LipsyncError(
      'not_supported',
      `None of the planned providers is configured on this machine: ${listProviderIds(plan).join(', ')}.`,
    );
  }
}
