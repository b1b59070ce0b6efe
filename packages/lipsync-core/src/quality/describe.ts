import type { Quality, QualityRange, SyncQuality } from '../contract/index.ts';

/** Texts about a quality that command line and report page share. */

/** `whole video`, or up to `maxRanges` ranges; ranges of less than a tenth of a second have two decimals. */
export function describeRanges(ranges: readonly QualityRange[], durationMs: number, maxRanges: number): string {
  const [first] = ranges;
  if (!first || (ranges.length === 1 && first.startMs <= 0 && first.endMs >= durationMs - 100)) return 'whole video';
  const shown = ranges.slice(0, maxRanges).map((range) => describeRange(range, durationMs));
  const rest = ranges.length - shown.length;
  return `${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Players end at the duration: a range that reaches further, because its sound does, ends there too. */
export function describeRange({ startMs, endMs }: QualityRange, durationMs: number): string {
  const lastMs = Math.max(startMs, Math.min(endMs, durationMs));
  const decimals = lastMs - startMs < 100 ? 2 : 1;
  return durationMs < 60_000
    ? `${toSeconds(startMs, decimals).toFixed(decimals)}–${toSeconds(lastMs, decimals).toFixed(decimals)} s`
    : `${clock(startMs, decimals)}–${clock(lastMs, decimals)}`;
}

/** Minutes and seconds, as players show them. */
function clock(ms: number, decimals = 1): string {
  const seconds = toSeconds(ms, decimals);
  const width = decimals === 0 ? 2 : decimals + 3;
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(decimals).padStart(width, '0')}`;
}

/** Rounds milliseconds before they become a binary fraction. */
function toSeconds(ms: number, decimals: number): number {
  return Math.round(ms / 10 ** (3 - decimals)) / 10 ** decimals;
}

/** A point in time: seconds in videos of less than a minute, else as players show them. */
export function describeTime(ms: number, durationMs: number): string {
  return durationMs < 60_000 ? `${toSeconds(ms, 1).toFixed(1)} s` : clock(ms);
}

/** The offset of sound and lips in words, with its interval and strength, or why it is unknown. */
export function describeOffset(sync: SyncQuality | null): string {
  if (!sync) return 'not measured';
  const { offsetMs, offsetIntervalMs, strength } = sync;
  if (offsetMs === null) return `offset unknown: ${sync.reason ?? 'it was not measured'}`;
  const interval = offsetIntervalMs ? `, from ${offsetIntervalMs.map(describeMs).join(' to ')}` : '';
  return `sound ${describeMs(offsetMs)}${interval}${strength === null ? '' : `; strength ${strength.toFixed(2)}`}`;
}

export function describeMs(offsetMs: number): string {
  const offset = Math.round(offsetMs);
  return offset === 0 ? 'in time' : `${Math.abs(offset)} ms ${offset > 0 ? 'early' : 'late'}`;
}

const dimensionless: readonly string[] = ['correlation', 'ratio'];

/** A value with its unit in three significant digits; shares are percentages, and units without a dimension are left out. */
export function describeAmount(value: number, unit: string): string {
  const [, whole = ''] = /^share(?: of (.*))?$/.exec(unit) ?? [];
  if (unit.startsWith('share')) return `${threeDigits(100 * value)} %${whole === '' ? '' : ` of ${whole}`}`;
  return `${threeDigits(value)} ${dimensionless.includes(unit) ? '' : unit}`.trimEnd();
}

function threeDigits(value: number): string {
  if (Math.abs(value) < 1e-6) return '0';
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** Why there is no grade: the reason of SyncNet's parts, or lips that do not move although SyncNet scored them. */
export function describeMissingGrade({ parts }: Pick<Quality, 'parts'>): string {
  const { value = null, reason = null } = parts['lse_d'] ?? {};
  if (value !== null) return 'the mouth does not move';
  return (reason ?? 'SyncNet was not run').replace(/\.$/, '');
}
