import type { ProviderId } from '../contract/index.ts';
import type { StateStore } from '../storage/state-store.ts';

/** On which device the engines of an installation last worked, on whichever of its machines. */
export interface LastDevices {
  /** Throws what the state store throws. */
  note(provider: ProviderId, device: string): Promise<void>;
  /** Null where nothing was made yet. Throws what the state store throws. */
  look(provider: ProviderId): Promise<string | null>;
}

export function createLastDevices({ state }: { readonly state: StateStore }): LastDevices {
  const keyOf = (provider: ProviderId): string => `device/${provider}`;
  return {
    note: (provider, device) =>
      state.transact([keyOf(provider)], () => ({
        result: undefined,
        writes: new Map([[keyOf(provider), { device }]]),
      })),
    look: (provider) =>
      state.transact([keyOf(provider)], (documents) => {
        // `as`: only this file writes these documents.
        const document = documents.get(keyOf(provider)) as { readonly device: string } | undefined;
        return { result: document?.device ?? null };
      }),
  };
}
