import type { BoardJson, ProviderSummary } from './scoreboard.ts';

/** The scoreboard as Markdown tables: one row per provider, then one per part, then what was not rated. */
export function boardTables({ providers }: BoardJson): string {
  const rated = providers.flatMap(({ provider, degraded, summary }) =>
    summary === null ? [] : [{ name: degraded ? `${provider} (degraded)` : provider, summary }],
  );
  const absent = providers.filter(({ summary }) => summary === null);
  return [
    ...(rated.length === 0 ? [] : [overview(rated), ...partTables(rated)]),
    ...(absent.length === 0
      ? []
      : [absent.map(({ provider, reason }) => `${provider} was not rated: ${reason}.`).join('\n')]),
    ...failureLines(providers),
  ].join('\n\n');
}

interface Row {
  readonly name: string;
  readonly summary: ProviderSummary;
}

function overview(rows: readonly Row[]): string {
  return table(
    ['provider', 'takes', 'grades', 'sync', 'audio', 'video', 'labels', 's per s', 's per s, assessed', '$ per min'],
    rows.map(({ name, summary }) => [
      name,
      summary.failures === 0 ? String(summary.takes) : `${summary.takes} (${summary.failures} failed)`,
      counts(summary.grades),
      score(summary.sync_score),
      score(summary.audio_quality),
      score(summary.video_quality),
      counts(summary.labels),
      figure(summary.seconds_per_second, 2),
      figure(summary.total_seconds_per_second, 2),
      figure(summary.usd_per_minute, 4),
    ]),
  );
}

/** The parts that were measured in a take, and the others with the reason. Empty when every take failed. */
function partTables(rows: readonly Row[]): string[] {
  const all = [...new Set(rows.flatMap(({ summary }) => Object.keys(summary.parts)))];
  const names = all.filter((part) => rows.some(({ summary }) => (summary.parts[part]?.takes ?? 0) > 0));
  const others = all.filter((part) => !names.includes(part));
  if (all.length === 0) return [];
  const unitOf = (part: string): string =>
    rows.find(({ summary }) => summary.parts[part])?.summary.parts[part]?.unit ?? '';
  const measured = table(
    ['part, median', 'unit', ...rows.map(({ name }) => name)],
    names.map((part) => [
      part,
      unitOf(part),
      ...rows.map(({ summary }) => {
        const { value = null, takes = 0, reason = null } = summary.parts[part] ?? {};
        const of = takes < summary.takes - summary.failures ? ` (${takes})` : '';
        return value === null ? `unknown: ${reason ?? 'It was not measured.'}` : `${figure(value, 3)}${of}`;
      }),
    ]),
  );
  return others.length === 0 ? [measured] : [measured, unmeasuredTable(rows, others)];
}

/** One row per set of reasons, which several parts share. */
function unmeasuredTable(rows: readonly Row[], parts: readonly string[]): string {
  const reasonsOf = (part: string): readonly string[] =>
    rows.map(({ summary }) => summary.parts[part]?.reason ?? 'It was not measured.');
  const groups = Map.groupBy(parts, (part) => reasonsOf(part).join('\n'));
  return table(
    ['not measured in any take', ...rows.map(({ name }) => name)],
    [...groups.values()].map((names) => [names.join(', '), ...reasonsOf(names[0] ?? '')]),
  );
}

function failureLines(providers: BoardJson['providers']): string[] {
  const lines = providers.flatMap(({ provider, takes }) =>
    takes.flatMap(({ clip, speech, error }) =>
      error === null ? [] : [`${provider} failed on ${clip} × ${speech}: ${error.code}: ${error.message}`],
    ),
  );
  return lines.length === 0 ? [] : [lines.join('\n')];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}

function counts(values: Readonly<Record<string, number>>): string {
  const entries = Object.entries(values).toSorted(([, first], [, second]) => second - first);
  return entries.length === 0 ? 'none' : entries.map(([name, count]) => `${name} ${count}`).join(', ');
}

function score(value: number | null): string {
  return figure(value, 2);
}

function figure(value: number | null, digits: number): string {
  return value === null ? 'unknown' : value.toFixed(digits);
}
