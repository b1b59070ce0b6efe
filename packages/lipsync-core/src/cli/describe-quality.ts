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

/**
 * Returns a quality as text for a person who has not seen the video: the verdict, defects, the parts that are not fine,
 * and what is unknown.
 */
export function describeQuality({ file, quality, durationMs }: DescribedVideo): string {
  const sections = [
    [`${file} · ${seconds(durationMs)}`],
    indent(toTable(listResults(quality))),
    ...section('Defects', listDefects(quality.labels, durationMs)),
    ...section('Measured, the worst first', toTable(listMeasured(quality))),
    ...section(`At least ${fineScore} of 1`, wrap(listFine(quality).join(', '))),
    ...section('Not measured', listUnknown(quality)),
  ];
  const clean = (line: string): string => line.replace(hiddenCharacters, '');
  return `${sections.map((lines) => lines.map(clean).join('\n')).join('\n\n')}\n`;
}

/** Parts with a score from here on are listed by name only. */
const fineScore = 0.9;

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
  const interval = offsetIntervalMs ? `, from ${offsetIntervalMs.map(describeMs).join(' to ')}` : '';
  return `sound ${describeMs(offsetMs)}${interval}${strength === null ? '' : `; strength ${strength.toFixed(2)}`}`;
}

function describeMs(offsetMs: number): string {
  const offset = Math.round(offsetMs);
  return offset === 0 ? 'in time' : `${Math.abs(offset)} ms ${offset > 0 ? 'early' : 'late'}`;
}

function listDefects(labels: readonly QualityLabel[], durationMs: number): readonly string[] {
  return labels.flatMap(({ code, message, ranges, value, threshold, fatal }) => {
    const unit = labelDefinitions.get(code)?.unit ?? '';
    const measured = `${amountOf(value, unit)}, limit ${amountOf(threshold, unit)}`;
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

/** Parts that are not fine, and those without a score at the end. */
function listMeasured({ parts, source }: Quality): readonly (readonly string[])[] {
  const measured = Object.entries(parts).flatMap(([name, { value, unit, score }]) =>
    value === null || (score !== null && score >= fineScore) ? [] : [{ name, value, unit, score }],
  );
  return measured
    .toSorted((one, other) => (one.score ?? 2) - (other.score ?? 2))
    .map(({ name, value, unit, score }) => [
      name,
      amountOf(value, unit),
      score === null ? '' : `${score.toFixed(2)} of 1`,
      ...(source ? [typeof source[name] === 'number' ? `source ${amountOf(source[name], unit)}` : ''] : []),
      partDefinitions.get(name)?.meaning ?? '',
    ]);
}

function listFine({ parts }: Quality): readonly string[] {
  return Object.keys(parts).filter((name) => (parts[name]?.score ?? 0) >= fineScore);
}

/** Parts by reason, because most unknown parts share one. */
function listUnknown({ parts }: Quality): readonly string[] {
  const unknown = Object.entries(parts).filter(([, { value }]) => value === null);
  return [...Map.groupBy(unknown, ([, { reason }]) => reason ?? 'No reason is known.')].flatMap(([reason, entries]) => [
    reason,
    ...indent(wrap(entries.map(([name]) => name).join(', '))),
  ]);
}

const maxLineLength = 100;

/** Breaks a text into lines at spaces. */
function wrap(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter((part) => part !== '')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= maxLineLength) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
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

/** A value with its unit; shares are percentages. */
function amountOf(value: number, unit: string): string {
  const [, whole = ''] = /^share(?: of (.*))?$/.exec(unit) ?? [];
  if (unit.startsWith('share')) return `${amount(100 * value)} %${whole === '' ? '' : ` of ${whole}`}`;
  return `${amount(value)} ${unit}`.trimEnd();
}

/** Three significant digits. */
function amount(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Minutes and seconds, as players show them. */
function clock(ms: number): string {
  const tenths = Math.round(ms / 100);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, '0')}`;
}
