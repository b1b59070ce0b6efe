import { hiddenCharacters, type Quality, type QualityLabel, type QualityRange } from '../../contract/index.ts';
import type { QualityTrace, TracePicture } from '../analyzer.ts';
import { describeAmount, describeMissingGrade, describeMs, describeRanges, describeTime } from '../describe.ts';
import { html, nothing, type Markup } from './html.ts';
import { drawOffsetCurve, drawTimeline } from './report-charts.ts';
import { reportStyle } from './report-style.ts';

/** A measured video, as its report names it. */
export interface ReportedVideo {
  readonly name: string;
  readonly durationMs: number;
  readonly quality: Quality;
  readonly trace: QualityTrace;
}

const mouthCount = 14;
const defectCount = 6;

/**
 * A self-contained HTML page about videos: what is wrong first, then timeline, mouths, worst seconds and every figure. It
 * runs no script and loads nothing; names are escaped. Pictures need a trace with pictures.
 */
export class ReportPage {
  readonly #names: string[] = [];
  readonly #articles: string[] = [];

  get isEmpty(): boolean {
    return this.#articles.length === 0;
  }

  /** Keeps only the markup of a video, because its trace has many times more pictures than the page shows. */
  add(video: ReportedVideo): void {
    this.#names.push(cleanName(video.name));
    this.#articles.push(renderVideo(video).markup);
  }

  /** Returns the parts of the page in order: pages of many videos are longer than a string may be. */
  render(): readonly string[] {
    const [name = ''] = this.#names;
    const title = this.#names.length === 1 ? `Quality of ${name}` : 'Quality of videos';
    return [renderHead(title), ...this.#articles, '</body></html>\n'];
  }
}

function renderHead(title: string): string {
  const head = html`<head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width" />
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:" />
    <meta name="referrer" content="no-referrer" />
    <title>${title}</title>
    <style>
      ${reportStyle}
    </style>
  </head>`;
  return `<!doctype html>\n<html lang="en">${head.markup}<body>`;
}

function renderVideo({ name, durationMs, quality, trace }: ReportedVideo): Markup {
  const { labels } = quality;
  const models = Object.entries(quality.models).map(
    ([model, digest]) => html` · ${model} <code>${digest.slice(0, 12)}</code>`,
  );
  return html`<article>
    <h1>${cleanName(name)} <small>${describeTime(durationMs, durationMs)}</small></h1>
    ${renderVerdict(quality, labels, durationMs)} ${renderScores(quality)}
    <section>
      <h2>Timeline</h2>
      ${drawTimeline({ trace, labels, durationMs })}
      <p class="key">
        Blue shading: speech. Black line: mouth of this
        video.${trace.sourceLipOpening ? ' Gray line: mouth of the source clip.' : ''}
      </p>
    </section>
    ${renderMouths(trace, durationMs)}
    <div class="columns">${renderOffset(trace, quality)}${renderDefects(trace, labels, durationMs)}</div>
    ${renderParts(quality)}
    <footer>Measured by ${quality.methodVersion}${models}</footer>
  </article>`;
}

/** What is wrong, in sentences. */
function renderVerdict({ parts, grade }: Quality, labels: readonly QualityLabel[], durationMs: number): Markup {
  const fatal = labels.filter((label) => label.fatal).length;
  const noGrade = `The lip-sync is not graded: ${describeMissingGrade({ parts })}.`;
  if (labels.length === 0)
    return html`<p class="verdict good">No defect was found. ${grade === 'unknown' ? noGrade : ''}</p>`;
  const items = labels.map(
    (label) =>
      html`<li class="${label.fatal ? 'fatal' : 'defect'}">
        <strong>${label.message}</strong> ${describeRanges(label.ranges, durationMs, 4)} <code>${label.code}</code>
      </li>`,
  );
  const status =
    fatal > 0
      ? html`<p class="status fatal">Rejected: a take with a red defect is not accepted.</p>`
      : html`<p class="status">Accepted, with defects.</p>`;
  return html`${status}
    <ul class="verdict">
      ${items}
    </ul>`;
}

function renderScores({ syncScore, grade, videoQuality, audioQuality, sync, parts }: Quality): Markup {
  const ofOne = (value: number | null): readonly [string, string] =>
    value === null ? ['unknown', 'not measured'] : [value.toFixed(2), 'out of 1, the lowest of its measured parts'];
  const offset = sync?.offsetMs ?? null;
  const interval = sync?.offsetIntervalMs;
  const cells: readonly (readonly [string, string, string])[] = [
    syncScore === null
      ? ['Lip-sync', 'no grade', describeMissingGrade({ parts })]
      : ['Lip-sync', syncScore.toFixed(2), grade.replace('_', ' ')],
    ['Picture', ...ofOne(videoQuality)],
    ['Sound', ...ofOne(audioQuality)],
    offset === null
      ? ['Sound against lips', 'unknown', sync?.reason ?? 'not measured']
      : ['Sound against lips', describeMs(offset), interval ? `from ${interval.map(describeMs).join(' to ')}` : ''],
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

function renderMouths({ pictures }: QualityTrace, durationMs: number): Markup {
  const seen = pictures.filter(({ mouth }) => mouth !== null);
  if (seen.length === 0) return nothing;
  const chosen = Array.from(
    { length: Math.min(mouthCount, seen.length) },
    (_, index) => seen[Math.floor((index * seen.length) / Math.min(mouthCount, seen.length))],
  ).filter((picture) => picture !== undefined);
  const hasSource = chosen.some(({ sourceMouth }) => sourceMouth !== null);
  const cell = ({ timeMs, mouth, sourceMouth }: TracePicture): Markup => {
    const time = describeTime(timeMs, durationMs);
    const source = hasSource ? image(sourceMouth, `Source at ${time}`) : nothing;
    return html`<figure>
      ${image(mouth, `Mouth at ${time}`)}${source}
      <figcaption>${time}</figcaption>
    </figure>`;
  };
  const key = html`<p class="key">
    Upper row: this video. Lower row: the same frame of the source clip, where it was compared.
  </p>`;
  return html`<section>
    <h2>Mouth</h2>
    <div class="strip">${chosen.map(cell)}</div>
    ${hasSource ? key : nothing}
  </section>`;
}

/** Defects of the sound cannot be seen in a picture. */
const soundCodes = /^(sound|audio|speech|band)_/;

/** A picture from the longest range of each visible defect. */
function renderDefects({ pictures }: QualityTrace, labels: readonly QualityLabel[], durationMs: number): Markup {
  const visible = labels.filter(({ code }) => !soundCodes.test(code)).slice(0, defectCount);
  const items = visible.flatMap(({ code, ranges }) => {
    const picture = findPicture(pictures, ranges);
    if (!picture) return [];
    const time = describeTime(picture.timeMs, durationMs);
    return [
      html`<figure>
        ${image(picture.face, `Face at ${time}`)}
        <figcaption>${code}, ${time}</figcaption>
      </figure>`,
    ];
  });
  if (items.length === 0) return nothing;
  return html`<section>
    <h2>Worst moments</h2>
    <div class="strip faces">${items}</div>
  </section>`;
}

/** The picture nearest to the middle of the longest range, if one is within a range. */
function findPicture(pictures: readonly TracePicture[], ranges: readonly QualityRange[]): TracePicture | undefined {
  const [longest] = ranges.toSorted((one, other) => other.endMs - other.startMs - (one.endMs - one.startMs));
  if (!longest) return undefined;
  const middleMs = (longest.startMs + longest.endMs) / 2;
  const inside = pictures.filter(({ timeMs }) =>
    ranges.some(({ startMs, endMs }) => timeMs >= startMs && timeMs < endMs),
  );
  const distanceOf = ({ timeMs }: TracePicture): number => Math.abs(timeMs - middleMs);
  return inside.toSorted((one, other) => distanceOf(one) - distanceOf(other))[0];
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
  const amount = (value: number | null | undefined, unit: string): string =>
    typeof value === 'number' ? describeAmount(value, unit) : '';
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
              <td>${value === null ? '–' : amount(value, unit)}</td>
              <td>${score === null ? '' : score.toFixed(2)}</td>
              ${source ? html`<td>${amount(source[name], unit)}</td>` : nothing}
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
