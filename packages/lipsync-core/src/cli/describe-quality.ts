import { hiddenCharacters, type Quality, type QualityLabel, type QualityRange } from '../contract/index.ts';
import type { LabelDefinition, PartDefinition } from '../quality/analyzer.ts';
import { analyzers } from '../quality/assessment/analyzers.ts';

const partDefinitions = byKey<PartDefinition>(
  analyzers.flatMap(({ parts }) => parts.map((part) => [part.name, part] as const)),
);
const labelDefinitions = byKey<LabelDefinition>(
  analyzers.flatMap(({ labels }) => labels.map((label) => [label.code, label] as const)),
);

function byKey<Value>(entries: readonly (readonly [string, Value])[]): ReadonlyMap<string, Value> {
  return new Map(entries);
}

export interface DescribedVideo {
  readonly file: string;
  readonly quality: Quality;
  readonly durationMs: number;
}

/** Returns a quality as text for a person who has not seen the video: the verdict, defects, parts, what is unknown. */
export function describeQuality({ file, quality, durationMs }: DescribedVideo): string {
  const sections = [
    [`${file.replace(hiddenCharacters, '')} · ${seconds(durationMs)}`],
    indent(toTable(listResults(quality))),
    ...section('Defects', listDefects(quality.labels, durationMs)),
    ...section('Measured', toTable(listMeasured(quality))),
    ...section('Not measured', toTable(listUnknown(quality))),
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function section(title: string, lines: readonly string[]): readonly (readonly string[])[] {
  return lines.length === 0 ? [] : [[title, ...indent(lines)]];
}

function listResults(quality: Quality): readonly (readonly string[])[] {
  const { syncScore, grade, videoQuality, audioQuality, sync, labels } = quality;
  const score = (value: number | null): string => (value === null ? 'unknown' : `${value.toFixed(2)} of 1`);
  return [
    [
      'Lip-sync',
      syncScore === null ? describeMissingGrade(quality) : `${grade.replace('_', ' ')}, ${score(syncScore)}`,
    ],
    ['Sound and lips', describeOffset(sync)],
    ['Picture', score(videoQuality)],
    ['Sound', score(audioQuality)],
    ['Defects', labels.length === 0 ? 'none found' : `${labels.map(({ code }) => code).join(', ')}: see below`],
  ];
}

function describeMissingGrade({ models, sync }: Quality): string {
  const hasScorer = Object.keys(models).some((name) => name.startsWith('syncnet'));
  return `no grade: ${hasScorer ? (sync?.reason ?? 'it was not measured') : 'it needs SyncNet (SYNCNET_MODEL_PATH)'}`;
}

function describeOffset(sync: Quality['sync']): string {
  if (!sync) return 'not measured';
  const { offsetMs, offsetIntervalMs, strength } = sync;
  if (offsetMs === null) return `offset unknown: ${sync.reason ?? 'it was not measured'}`;
  const offset = Math.round(offsetMs);
  const named =
    offset === 0 ? 'together' : `sound ${Math.abs(offset)} ms ${offset > 0 ? 'ahead of' : 'behind'} the lips`;
  const interval = offsetIntervalMs ? ` (between ${offsetIntervalMs.map(signed).join(' and ')} ms)` : '';
  return `${named}${interval}${strength === null ? '' : `, strength ${strength.toFixed(2)}`}`;
}

function listDefects(labels: readonly QualityLabel[], durationMs: number): readonly string[] {
  return labels.flatMap(({ code, message, ranges, value, threshold, fatal }) => {
    const unit = labelDefinitions.get(code)?.unit ?? '';
    const measured = `${amount(value)} ${unit}, limit ${amount(threshold)} ${unit}`.replaceAll(/ +(?=,|$)/g, '');
    return [
      `${code}${fatal ? ' (a take with it is rejected)' : ''}: ${describeRanges(ranges, durationMs)}: ${measured}`,
      `  ${message}`,
    ];
  });
}

const maxRanges = 6;

function describeRanges(ranges: readonly QualityRange[], durationMs: number): string {
  const first = ranges[0];
  if (!first || (ranges.length === 1 && first.startMs <= 0 && first.endMs >= durationMs - 1)) return 'whole video';
  const shown = ranges.slice(0, maxRanges).map(({ startMs, endMs }) => `${clock(startMs)}–${clock(endMs)}`);
  const rest = ranges.length - shown.length;
  return `${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** The worst first; parts without a score last. */
function listMeasured({ parts, source }: Quality): readonly (readonly string[])[] {
  const measured = Object.entries(parts).flatMap(([name, { value, unit, score }]) =>
    value === null ? [] : [{ name, value, unit, score }],
  );
  return measured
    .toSorted((one, other) => (one.score ?? 2) - (other.score ?? 2))
    .map(({ name, value, unit, score }) => [
      name,
      `${amount(value)} ${unit}`,
      score === null ? '' : `${score.toFixed(2)} of 1`,
      ...(source ? [typeof source[name] === 'number' ? `source ${amount(source[name])}` : ''] : []),
      partDefinitions.get(name)?.meaning ?? '',
    ]);
}

/** Parts by reason, because most unknown parts share one. */
function listUnknown({ parts }: Quality): readonly (readonly string[])[] {
  const unknown = Object.entries(parts).filter(([, { value }]) => value === null);
  return [...Map.groupBy(unknown, ([, { reason }]) => reason ?? 'No reason is known.')].flatMap(([reason, entries]) =>
    entries.map(([name], index) => [name, index === 0 ? reason : '″']),
  );
}

/** Aligns columns; the last one is not padded. */
function toTable(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows.reduce<number[]>(
    (found, row) => row.map((cell, column) => Math.max(cell.length, found[column] ?? 0)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

function indent(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`);
}

/** Three significant digits. */
function amount(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function signed(ms: number): string {
  return `${ms > 0 ? '+' : ''}${Math.round(ms)}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Minutes and seconds, as players show them. */
function clock(ms: number): string {
  const tenths = Math.round(ms / 100);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, '0')}`;
}
