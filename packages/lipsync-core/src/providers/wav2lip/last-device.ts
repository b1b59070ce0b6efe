import type { StateStore } from '../../storage/state-store.ts';

const key = 'device/wav2lip';

/**
 * Stores the device that an engine of the installation last used, on any machine. Throws `resource_exhausted` when the
 * state store is unavailable.
 */
export async function noteLastDevice(state: StateStore, device: string): Promise<void> {
  await state.transact([key], () => ({ result: undefined, writes: new Map([[key, { device }]]) }));
}

/** Null before the first take. Throws `resource_exhausted` when the state store is unavailable. */
export function readLastDevice(state: StateStore): Promise<string | null> {
  return state.transact([key], (documents) => {
    // `as`: only this file writes this document.
    const document = documents.get(key) as { readonly device: string } | undefined;
    return { result: document?.device ?? null };
  });
}
