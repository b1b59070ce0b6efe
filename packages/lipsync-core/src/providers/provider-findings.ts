import type { ProviderId } from '../contract/index.ts';
import type { HeygenBalance } from './heygen/heygen-balance.ts';
import type { LastDevices } from './last-devices.ts';
import { suitsDevice, type ConfiguredModel } from './wav2lip/model/configured-model.ts';

/** What is to be found out about a provider beyond its settings; null for what is not known, or does not apply. */
export interface ProviderFindings {
  /** What an engine here last worked on, or is bound to. */
  readonly device: string | null;
  /** Of the weights that are configured, as the record beside them has it. */
  readonly licence: string | null;
  /** Whether the layers of the configured model are written for that device. */
  readonly modelSuitsDevice: boolean | null;
  readonly balanceMicros: number | null;
}

/** Throws what the state store throws. */
export interface ProviderInspector {
  look(provider: ProviderId): Promise<ProviderFindings>;
}

export interface ProviderInspectorDependencies {
  readonly lastDevices: Pick<LastDevices, 'look'>;
  readonly gpuEnabled: boolean;
  readonly wav2lipModel: ConfiguredModel;
  /** Null where HeyGen is not configured. */
  readonly heygenBalance: HeygenBalance | null;
}

const nothing: ProviderFindings = Object.freeze({
  device: null,
  licence: null,
  modelSuitsDevice: null,
  balanceMicros: null,
});

export function createProviderInspector({
  lastDevices,
  gpuEnabled,
  wav2lipModel,
  heygenBalance,
}: ProviderInspectorDependencies): ProviderInspector {
  return {
    async look(provider) {
      switch (provider) {
        case 'heygen':
          return { ...nothing, balanceMicros: (await heygenBalance?.look()) ?? null };
        case 'wav2lip':
          return {
            ...nothing,
            ...(await lookAtModel(wav2lipModel, gpuEnabled ? await lastDevices.look(provider) : 'cpu')),
          };
        case 'preview':
          return { ...nothing, device: 'cpu' };
      }
    },
  };
}

async function lookAtModel(
  model: ConfiguredModel,
  device: string | null,
): Promise<Pick<ProviderFindings, 'device' | 'licence' | 'modelSuitsDevice'>> {
  const facts = await model.inspect();
  return { device, licence: facts.license, modelSuitsDevice: suitsDevice(facts, device) };
}
