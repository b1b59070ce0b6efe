import type { QualityLabel, SyncQuality } from '../../contract/quality.ts';
import type { QualityTrace } from '../analyzer.ts';
import { describeRange, describeTime } from '../describe.ts';
import { html, nothing, type Markup } from './html.ts';

/** Charts as inline SVG. Coordinates are rounded to tenths of a unit. */

const width = 1000;
const gutter = 170;
const plotWidth = width - gutter;
const rowHeight = 70;
const laneHeight = 24;
/** Points of a curve; more would not be visible. */
const maxPoints = 800;

export interface TimelineData {
  readonly trace: QualityTrace;
  readonly labels: readonly QualityLabel[];
  readonly durationMs: number;
}

/** Sound, lips, confidence and defects over the time of the video. */
export function drawTimeline({ trace, labels, durationMs }: TimelineData): Markup {
  const rows: { readonly name: string; readonly height: number; readonly draw: (top: number) => Markup }[] = [
    { name: 'Sound', height: rowHeight, draw: (top) => drawSound(trace, top) },
    { name: 'Mouth opening', height: rowHeight, draw: (top) => drawLips(trace, top) },
    ...(trace.syncConfidence
      ? [{ name: 'SyncNet confidence', height: rowHeight, draw: (top: number) => drawConfidence(trace, top) }]
      : []),
    ...labels.map((label) => ({
      name: label.code,
      height: laneHeight,
      draw: (top: number) => drawLane(label, durationMs, top),
    })),
  ];
  let top = 0;
  const drawn = rows.map(({ name, height, draw }) => {
    const row = html`<text class="row" x="0" y="${top + height / 2 + 4}">${name}</text>${draw(top)}`;
    top += height + 6;
    return row;
  });
  return html`<svg
    viewBox="0 0 ${width} ${top + 22}"
    role="img"
    aria-label="Timeline of sound, mouth opening and defects"
  >
    ${drawTimes(durationMs, top)}${drawn}
  </svg>`;
}

function drawSound({ speechLevelDb, voiced }: QualityTrace, top: number): Markup {
  const middle = top + rowHeight / 2;
  const heights = resample(speechLevelDb, Math.max).map(
    (level) => (Math.max(0, (level ?? -60) + 60) / 60) * (rowHeight / 2),
  );
  const upper = heights.map((height, index) => point(xOf(index, heights.length), middle - height));
  const lower = heights.map((height, index) => point(xOf(index, heights.length), middle + height)).reverse();
  const speech = resample(voiced.map(Number), Math.max);
  return html`${bars(speech, top, rowHeight)}<polygon class="sound" points="${[...upper, ...lower].join(' ')}" />`;
}

/** Bars behind the runs that are speech. */
function bars(flags: readonly (number | null)[], top: number, height: number): Markup {
  const starts = flags.flatMap((flag, index) => (flag === 1 && flags[index - 1] !== 1 ? [index] : []));
  const rectangles = starts.map((start) => {
    const length = flags.slice(start).findIndex((flag) => flag !== 1);
    const end = length < 0 ? flags.length : start + length;
    const [left, right] = [xOf(start, flags.length), xOf(end, flags.length)];
    return html`<rect
      class="voiced"
      x="${tenths(left)}"
      y="${top}"
      width="${tenths(right - left)}"
      height="${height}"
    />`;
  });
  return html`${rectangles}`;
}

/** Opening up to which a mouth counts as nearly closed, in eye distances: a still mouth stays low in its chart. */
const lowestScale = 0.15;

function drawLips({ lipOpening, sourceLipOpening }: QualityTrace, top: number): Markup {
  const own = resample(lipOpening, meanOf);
  const source = sourceLipOpening ? resample(sourceLipOpening, meanOf) : [];
  const highest = Math.max(lowestScale, ...[...own, ...source].map((value) => value ?? 0));
  return html`${curve(source, { top, highest }, 'source')}${curve(own, { top, highest }, 'lips')}`;
}

function drawConfidence({ syncConfidence }: QualityTrace, top: number): Markup {
  const values = resample(syncConfidence ?? [], meanOf);
  return curve(values, { top, highest: Math.max(1, ...values.map((value) => value ?? 0)) }, 'confidence');
}

interface CurveScale {
  readonly top: number;
  readonly highest: number;
}

/** A line that breaks where nothing was measured. */
function curve(values: readonly (number | null)[], { top, highest }: CurveScale, style: string): Markup {
  const heightOf = (value: number): number => top + rowHeight * (1 - Math.max(0, value) / highest);
  let isDrawing = false;
  const path = values.map((value, index) => {
    const command =
      value === null ? '' : `${isDrawing ? 'L' : 'M'}${point(xOf(index, values.length), heightOf(value))}`;
    isDrawing = value !== null;
    return command;
  });
  return html`<path class="${style}" d="${path.join('')}" />`;
}

function drawLane({ ranges, fatal, code }: QualityLabel, durationMs: number, top: number): Markup {
  const middle = top + laneHeight / 2;
  const bars = ranges.map((range) => {
    const [left, right] = [timeX(range.startMs, durationMs), timeX(range.endMs, durationMs)];
    return html`<rect
      class="${fatal ? 'fatal' : 'defect'}"
      x="${left}"
      y="${top + 4}"
      width="${tenths(Math.max(3, right - left))}"
      height="${laneHeight - 8}"
    >
      <title>${code} ${describeRange(range, durationMs)}</title>
    </rect>`;
  });
  return html`<line class="lane" x1="${gutter}" x2="${width}" y1="${middle}" y2="${middle}" />${bars}`;
}

/** Horizontal position of a time; times after the end are at the end. */
function timeX(ms: number, durationMs: number): number {
  return tenths(gutter + (Math.min(ms, durationMs) / durationMs) * plotWidth);
}

function drawTimes(durationMs: number, top: number): Markup {
  const stepMs =
    [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800]
      .map((seconds) => seconds * 1000)
      .find((step) => durationMs / step <= 12) ?? 3_600_000;
  const times = Array.from({ length: Math.floor(durationMs / stepMs) + 1 }, (_, index) => index * stepMs);
  return html`${times.map((ms) => {
    const x = timeX(ms, durationMs);
    return html`<line class="grid" x1="${x}" x2="${x}" y1="0" y2="${top}" />
      <text class="time" x="${x}" y="${top + 14}">${describeTime(ms, durationMs)}</text>`;
  })}`;
}

/** A curve over lags with its best value. */
interface LagCurve {
  readonly title: string;
  readonly points: readonly { readonly lagFrames: number; readonly value: number }[];
  /** Whether the lowest value is the best one. */
  readonly isLowestBest: boolean;
}

/** The distance curve of SyncNet, else the correlation of lips and sound; nothing without either. */
export function drawOffsetCurve({ distanceCurve, offsetCurve }: QualityTrace, sync: SyncQuality | null): Markup {
  const data: LagCurve = distanceCurve
    ? {
        title: 'SyncNet distance by offset (lower is better)',
        points: distanceCurve.map(({ lagFrames, distance }) => ({ lagFrames, value: distance })),
        isLowestBest: true,
      }
    : {
        title: 'Correlation of lips and sound by offset (higher is better)',
        points: offsetCurve.map(({ lagFrames, correlation }) => ({ lagFrames, value: correlation })),
        isLowestBest: false,
      };
  return data.points.length < 2 ? nothing : drawLagCurve(data, sync?.offsetMs ?? null);
}

/** Milliseconds of a frame at 25 frames per second, in which lags are counted. */
const lagMs = 40;

function drawLagCurve({ title, points, isLowestBest }: LagCurve, offsetMs: number | null): Markup {
  const [wide, high] = [460, 170];
  const values = points.map(({ value }) => value);
  const [low, top] = [Math.min(...values), Math.max(...values)];
  const range = top - low || 1;
  const widest = Math.max(...points.map(({ lagFrames }) => Math.abs(lagFrames)));
  const x = (lag: number): number => 20 + ((lag + widest) / (2 * widest)) * (wide - 40);
  const y = (value: number): number => 20 + (1 - (value - low) / range) * (high - 70);
  const best = points.find(({ value }) => value === (isLowestBest ? low : top));
  const line = points.map(
    ({ lagFrames, value }, index) => `${index === 0 ? 'M' : 'L'}${point(x(lagFrames), y(value))}`,
  );
  const marker =
    best && offsetMs !== null
      ? html`<circle class="best" cx="${tenths(x(best.lagFrames))}" cy="${tenths(y(best.value))}" r="5" />`
      : nothing;
  const ticks = [-400, -200, 0, 200, 400].map(
    (ms) => html`<text class="time" x="${tenths(x(ms / lagMs))}" y="${high - 26}">${ms} ms</text>`,
  );
  return html`<figure>
    <figcaption>${title}. At 0 they fit together.</figcaption>
    <svg viewBox="0 0 ${wide} ${high}" role="img" aria-label="${title}">
      <line class="zero" x1="${tenths(x(0))}" x2="${tenths(x(0))}" y1="8" y2="${high - 40}" />
      <path class="lips" d="${line.join('')}" />
      ${marker}${ticks}
      <text x="20" y="${high - 6}">← sound late</text>
      <text class="end" x="${wide - 20}" y="${high - 6}">sound early →</text>
    </svg>
  </figure>`;
}

/** Reduces a series to the points of a chart; null where nothing was measured. */
function resample(values: readonly (number | null)[], reduce: (...values: number[]) => number): (number | null)[] {
  const count = Math.min(maxPoints, values.length);
  return Array.from({ length: count }, (_, index) => {
    const part = values.slice(
      Math.floor((index * values.length) / count),
      Math.floor(((index + 1) * values.length) / count),
    );
    const known = part.filter((value) => value !== null);
    return known.length === 0 ? null : reduce(...known);
  });
}

function meanOf(...values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function xOf(index: number, count: number): number {
  return gutter + (index / Math.max(1, count)) * plotWidth;
}

function point(x: number, y: number): string {
  return `${tenths(x)},${tenths(y)} `;
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
