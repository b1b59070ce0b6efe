/**
 * What HeyGen bills for an output of `durationS` seconds, to the nearest millionth of a dollar; exact for durations that
 * it gives in microseconds or coarser.
 */
export function billedMicros(durationS: number, microsPerSecond: number): number {
  return Math.round((Math.round(durationS * 1_000_000) * microsPerSecond) / 1_000_000);
}

/** The most that an output of `durationMs` costs: its last millisecond is counted whole, since rounding is the vendor's. */
export function quotedMicros(durationMs: number, microsPerSecond: number): number {
  return Math.ceil((Math.ceil(durationMs) * microsPerSecond) / 1000);
}
