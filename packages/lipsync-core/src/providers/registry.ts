import type { SettingValues } from '../contract/setting-types.ts';
import { LipsyncError } from '../errors/index.ts';
import type { ConfiguredProvider, ProviderDefinition, SharedSettings } from './definition.ts';
import { heygenDefinition } from './heygen/definition.ts';
import { previewDefinition } from './preview/definition.ts';
import { wav2lipDefinition } from './wav2lip/definition.ts';

/** Every built-in provider, in the order in which `auto` tries them. */
export const providerDefinitions: readonly ProviderDefinition[] = [
  heygenDefinition,
  wav2lipDefinition,
  previewDefinition,
];

/** A definition with this installation's values of its settings. */
export interface ProviderEntry {
  readonly definition: ProviderDefinition;
  readonly values: SettingValues;
}

/** A provider of this installation, ready to be used or not. */
export interface InstalledProvider {
  readonly definition: ProviderDefinition;
  readonly configured: ConfiguredProvider;
}

/** Throws `internal` when two definitions share an id, a setting, or a field of earlier versions. */
export function refuseDuplicates(definitions: readonly ProviderDefinition[]): void {
  const names = definitions.flatMap(({ id, settings, options }) => [
    id,
    ...Object.keys(settings),
    ...Object.keys(options.formerFields ?? {}),
  ]);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new LipsyncError('internal', `Two providers define "${twice}".`);
}

/** Every provider with its settings, in the order of `auto`. Starts nothing. */
export function configureProviders(
  entries: readonly ProviderEntry[],
  shared: SharedSettings,
): readonly InstalledProvider[] {
  return entries.map(({ definition, values }) => ({ definition, configured: definition.configure(values, shared) }));
}

export function isReady({ configured }: InstalledProvider): boolean {
  return configured.missingSetting === null;
}
