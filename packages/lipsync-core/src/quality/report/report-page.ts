import { hiddenCharacters, type Quality, type QualityLabel } from '../../contract/index.ts';
import type { QualityTrace, TracePicture } from '../analyzer.ts';
import { html, nothing, type Markup } from './html.ts';
import { clock, drawOffsetCurve, drawTimeline } from './report-charts.ts';
import { reportStyle } from './report-style.ts';

/** A measured video, as its report names it. */
export interface ReportedVideo {
  readonly name: string;
  readonly durationMs: number;
  readonly quality: Quality;
  readonly trace: QualityTrace;
}

const mouthCount = 14;
const worstCount = 6;

/**
 * Returns a self-contained HTML page about videos: what is wrong first, then timeline, mouths, worst seconds and every
 * figure. It runs no script and loads nothing; names are escaped. Pictures need a trace with pictures.
 */
export function renderReport(videos: readonly ReportedVideo[]): string {
  const title = videos.length === 1 ? `Quality of ${cleanName(videos[0]?.name ?? '')}` : 'Quality of videos';
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        />
        <meta name="referrer" content="no-referrer" />
        <title>${title}</title>
        <style>
          ${reportStyle}
        </style>
      </head>
      <body>
        ${videos.map(renderVideo)}
      </body>
    </html> `.markup;
}

function renderVideo({ name, durationMs, quality, trace }: ReportedVideo): Markup {
  const { labels } = quality;
  return html`<article>
    <h1>${cleanName(name)} <small>${clock(durationMs)}</small></h1>
    ${renderVerdict(quality, labels, durationMs)} ${renderScores(quality)}
    <section>
      <h2>Timeline</h2>
      ${drawTimeline({ trace, labels, durationMs })}
      <p class="key">
        Blue shading: speech. Black line: mouth of this
        video.${trace.sourceLipOpening ? ' Gray line: mouth of the source clip.' : ''}
      </p>
    </section>
    ${renderMouths(trace)}
    <div class="columns">${renderOffset(trace, quality)}${renderWorst(trace, labels)}</div>
    ${renderParts(quality)}
    <footer>
      ${quality.methodVersion}${Object.entries(quality.models).map(([model, digest]) => html` · ${model} <code>${digest.slice(0, 12)}</code>`)}
    </footer>
  </article>`;
}

/** What is wrong, in sentences. */
function renderVerdict({ grade }: Quality, labels: readonly QualityLabel[], durationMs: number): Markup {
  if (labels.length === 0)
    return html`<p class="verdict good">
      No defect was found.${grade === 'unknown' ? ' The lip-sync is not graded: that needs SyncNet.' : ''}
    </p>`;
  const items = labels.map(
    (label) =>
      html`<li class="${label.fatal ? 'fatal' : 'defect'}">
        <strong>${label.message}</strong> <span>${describeRanges(label, durationMs)}</span>
        <code>${label.code}</code>${label.fatal ? html` <em>rejected</em>` : nothing}
      </li>`,
  );
  return html`<ul class="verdict">
    ${items}
  </ul>`;
}

function describeRanges({ ranges }: QualityLabel, durationMs: number): string {
  const [first] = ranges;
  if (!first || (ranges.length === 1 && first.startMs <= 0 && first.endMs >= durationMs - 100))
    return 'in the whole video';
  const shown = ranges.slice(0, 4).map(({ startMs, endMs }) => `${clock(startMs)}–${clock(endMs)}`);
  return `at ${shown.join(', ')}${ranges.length > 4 ? ` and ${ranges.length - 4} more` : ''}`;
}

function renderScores({ syncScore, grade, videoQuality, audioQuality, sync }: Quality): Markup {
  const score = (value: number | null): string => (value === null ? 'unknown' : value.toFixed(2));
  const noteOf = (value: number | null): string => (value === null ? 'not measured' : 'of 1: its worst part');
  const offset = sync?.offsetMs ?? null;
  const interval = sync?.offsetIntervalMs;
  const cells: readonly (readonly [string, string, string])[] = [
    ['Lip-sync', score(syncScore), syncScore === null ? 'no grade' : grade.replace('_', ' ')],
    ['Picture', score(videoQuality), noteOf(videoQuality)],
    ['Sound', score(audioQuality), noteOf(audioQuality)],
    [
      'Offset',
      offset === null ? 'unknown' : `${offset > 0 ? '+' : ''}${Math.round(offset)} ms`,
      offset === null
        ? (sync?.reason ?? 'not measured')
        : `${interval ? `${interval.map(Math.round).join(' to ')} ms, ` : ''}positive: sound early`,
    ],
  ];
  return html`<dl class="scores">
    ${cells.map(
      ([term, value, note]) =>
        html`<div>
          <dt>${term}</dt>
          <dd>${value}</dd>
          <dd class="note">${note}</dd>
        </div>`,
    )}
  </dl>`;
}

function renderOffset(trace: QualityTrace, { sync }: Quality): Markup {
  const curve = drawOffsetCurve(trace, sync);
  const reason = sync?.reason ?? 'Lips and sound were not compared.';
  return html`<section>
    <h2>Lips against sound</h2>
    ${curve === nothing ? html`<p>${reason}</p>` : curve}
  </section>`;
}

function renderMouths({ pictures }: QualityTrace): Markup {
  const seen = pictures.filter(({ mouth }) => mouth !== null);
  if (seen.length === 0) return nothing;
  const step = Math.max(1, seen.length / mouthCount);
  const chosen = seen.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
  const hasSource = chosen.some(({ sourceMouth }) => sourceMouth !== null);
  const cell = ({ timeMs, mouth, sourceMouth }: TracePicture): Markup =>
    html`<figure>
      ${image(mouth, `Mouth at ${clock(timeMs)}`)}${hasSource ? image(sourceMouth, `Source at ${clock(timeMs)}`) : nothing}
      <figcaption>${clock(timeMs)}</figcaption>
    </figure>`;
  return html`<section>
    <h2>Mouth${hasSource ? ', above the same frame of the source clip' : ''}</h2>
    <div class="strip">${chosen.map(cell)}</div>
  </section>`;
}

/** A picture from the longest range of each defect. */
function renderWorst({ pictures }: QualityTrace, labels: readonly QualityLabel[]): Markup {
  if (pictures.length === 0) return nothing;
  const items = labels.slice(0, worstCount).flatMap(({ code, ranges }) => {
    const longest = ranges.toSorted((one, other) => other.endMs - other.startMs - (one.endMs - one.startMs))[0];
    if (!longest) return [];
    const middleMs = (longest.startMs + longest.endMs) / 2;
    const [nearest] = pictures.toSorted(
      (one, other) => Math.abs(one.timeMs - middleMs) - Math.abs(other.timeMs - middleMs),
    );
    return nearest
      ? [
          html`<figure>
            ${image(nearest.face, `Face at ${clock(nearest.timeMs)}`)}
            <figcaption>${code}, ${clock(nearest.timeMs)}</figcaption>
          </figure>`,
        ]
      : [];
  });
  return items.length === 0
    ? nothing
    : html`<section>
        <h2>Worst seconds</h2>
        <div class="strip faces">${items}</div>
      </section>`;
}

function image(base64: string | null, description: string): Markup {
  return base64 === null
    ? html`<span class="missing">–</span>`
    : html`<img src="data:image/png;base64,${base64}" alt="${description}" />`;
}

function renderParts({ parts, source }: Quality): Markup {
  const rows = Object.entries(parts).toSorted(
    ([, one], [, other]) =>
      (one.score ?? 2) - (other.score ?? 2) || Number(one.value === null) - Number(other.value === null),
  );
  const amount = (value: number | null | undefined): string =>
    typeof value === 'number' ? String(Number(value.toPrecision(3))) : '';
  return html`<section>
    <h2>Every figure</h2>
    <table>
      <thead>
        <tr>
          <th>part</th>
          <th>value</th>
          <th>score</th>
          ${source ? html`<th>source</th>` : nothing}
          <th>unknown because</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([name, { value, unit, score, reason }]) =>
            html`<tr>
              <td>${name}</td>
              <td>${value === null ? '–' : `${amount(value)} ${unit}`}</td>
              <td>${score === null ? '' : score.toFixed(2)}</td>
              ${source ? html`<td>${amount(source[name])}</td>` : nothing}
              <td>${reason ?? ''}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function cleanName(name: string): string {
  return name.replace(hiddenCharacters, '');
}
