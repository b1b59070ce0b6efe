import type { ProviderId } from '../contract/index.ts';
import type { HeygenBalance } from './heygen/heygen-balance.ts';
import type { LastDevices } from './last-devices.ts';

/** What is to be found out about a provider beyond its settings; null for what is not known, or does not apply. */
export interface ProviderFindings {
  /** What an engine here last worked on, or is bound to. */
  readonly device: string | null;
  /** Of the weights that are configured, as the record beside them has it. */
  readonly licence: string | null;
  readonly balanceMicros: number | null;
}

/** Throws what the state store throws. */
export interface ProviderInspector {
  look(provider: ProviderId): Promise<ProviderFindings>;
}

export interface ProviderInspectorDependencies {
  readonly lastDevices: Pick<LastDevices, 'look'>;
  readonly gpuEnabled: boolean;
  /** Of the configured model. */
  wav2lipLicence(): Promise<string | null>;
  /** Null where HeyGen is not configured. */
  readonly heygenBalance: HeygenBalance | null;
}

const nothing: ProviderFindings = Object.freeze({ device: null, licence: null, balanceMicros: null });

export function createProviderInspector({ lastDevices, gpuEnabled, wav2lipLicence, heygenBalance }: ProviderInspectorDependencies): ProviderInspector {
  return {
    async look(provider) {
      switch (provider) {
        case 'heygen':
          return { ...nothing, balanceMicros: (await heygenBalance?.look()) ?? null };
        case 'wav2lip':
          return { ...nothing, device: gpuEnabled ? await lastDevices.look(provider) : 'cpu', licence: await wav2lipLicence() };
        case 'preview':
          return { ...nothing, device: 'cpu' };
      }
    },
  };
}
