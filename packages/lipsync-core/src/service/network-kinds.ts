import type { NetworkKind } from '../inference/models/network-kind.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { speakerKind } from '../quality/speaker/speaker-kind.ts';
import { syncNetKind } from '../quality/syncnet/network-kind.ts';

/** The networks whose checkpoints `models import` recognizes and `models verify` runs. */
export function listNetworkKinds(definitions: readonly ProviderDefinition[]): readonly NetworkKind[] {
  return [...definitions.flatMap(({ networks = [] }) => networks), syncNetKind, speakerKind];
}
