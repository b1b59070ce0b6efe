import { hiddenCharacters, type Quality, type QualityLabel, type QualityView } from '../contract/index.ts';
import type { LabelDefinition, PartDefinition } from '../quality/analyzer.ts';
import { analyzers } from '../quality/assessment/analyzers.ts';
import { describeAmount, describeMissingGrade, describeOffset, describeRanges } from '../quality/describe.ts';

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

/** Returns the verdict of a quality in one line. */
export function summarizeQuality({ grade, sync_score, video_quality, audio_quality, labels }: QualityView): string {
  const score = (value: number | null): string => (value === null ? 'unknown' : value.toFixed(2));
  const lips = sync_score === null ? 'not graded' : `${grade.replace('_', ' ')} (${score(sync_score)})`;
  const defects = labels.length === 0 ? 'none found' : labels.map(({ code }) => code).join(', ');
  return `lip-sync ${lips}, picture ${score(video_quality)}, sound ${score(audio_quality)} of 1; defects: ${defects}`;
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
      syncScore === null
        ? `no grade: ${describeMissingGrade(quality)}`
        : `${grade.replace('_', ' ')}, ${score(syncScore)}`,
    ],
    ['Sound and lips', describeOffset(sync)],
    ['Picture', `${score(videoQuality)}${describeMissingParts(quality, 'video_quality')}`],
    ['Sound', `${score(audioQuality)}${describeMissingParts(quality, 'audio_quality')}`],
    ['Defects', labels.length === 0 ? 'none found' : `${labels.map(({ code }) => code).join(', ')}: see below`],
  ];
}

/** Ranges that a line has room for. */
const maxRanges = 6;

/** A score of few parts is worth less than one of all. */
function describeMissingParts({ parts }: Quality, countsIn: PartDefinition['countsIn']): string {
  const scores = Object.entries(parts).flatMap(([name, { score }]) =>
    partDefinitions.get(name)?.countsIn === countsIn ? [score] : [],
  );
  const measured = scores.filter((score) => score !== null).length;
  return measured === 0 || measured === scores.length ? '' : `, from ${measured} of ${scores.length} parts`;
}

function listDefects(labels: readonly QualityLabel[], durationMs: number): readonly string[] {
  return labels.flatMap(({ code, message, ranges, value, threshold, fatal }) => {
    const unit = labelDefinitions.get(code)?.unit ?? '';
    const measured = `${describeAmount(value, unit)}, limit ${describeAmount(threshold, unit)}`;
    return [
      `${code}${fatal ? ' (a take with it is rejected)' : ''}: ${describeRanges(ranges, durationMs, maxRanges)}: ${measured}`,
      `  ${message}`,
    ];
  });
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
      describeAmount(value, unit),
      score === null ? '' : `${score.toFixed(2)} of 1`,
      ...(source ? [typeof source[name] === 'number' ? `source ${describeAmount(source[name], unit)}` : ''] : []),
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

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
