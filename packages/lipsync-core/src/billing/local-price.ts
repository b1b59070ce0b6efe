import type { ProviderId } from '../contract/index.ts';

/** What work on this machine costs, where it costs anything. Money is whole millionths of a dollar. */
export interface LocalPrice {
  readonly microsPerHour: number;
  /** What a provider's work on this job is expected to cost. Throws what the state store throws. */
  quote(provider: ProviderId): Promise<number>;
}

const hourMs = 3_600_000;

/** What so much work on this machine costs, in whole millionths of a dollar. Pure. */
export function localCostMicros(workMs: number, microsPerHour: number): number {
  return Math.round((workMs * microsPerHour) / hourMs);
}
