import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Draws the pictures of the modes in docs/http-api.md. Run it after a change: `node scripts/draw-modes.ts`. */

const folder = join(import.meta.dirname, '..', 'docs', 'pictures');
const cellPx = 22;
const colors = { clip: '#9cc3f5', held: '#c9d3df', speech: '#f7c88b', unused: '#ffffff', silence: '#f0f0f0' };

interface Cell {
  readonly text: string;
  readonly color: keyof typeof colors;
  /** In cells of the clip. */
  readonly width?: number;
}

interface Scene {
  readonly title: string;
  readonly speech: readonly Cell[];
  readonly output: readonly Cell[];
}

const frames = [1, 2, 3, 4, 5, 6];
const clipCells = (numbers: readonly number[], width = 1): Cell[] =>
  numbers.map((number) => ({ text: String(number), color: 'clip', width }));
const held = (count: number): Cell[] => Array.from({ length: count }, () => ({ text: '6', color: 'held' }));
const block = (text: string, color: Cell['color'], width: number): Cell => ({ text, color, width });

const longer = 'Speech longer than clip';
const shorter = 'Speech shorter than clip';
const endsWithSpeech: Scene = {
  title: shorter,
  speech: [block('speech', 'speech', 4)],
  output: clipCells(frames.slice(0, 4)),
};
const fullSpeech = [block('speech', 'speech', 10)];

const syncModes: Readonly<Record<string, readonly Scene[]>> = {
  loop: [{ title: longer, speech: fullSpeech, output: clipCells([...frames, 1, 2, 3, 4]) }, endsWithSpeech],
  bounce: [{ title: longer, speech: fullSpeech, output: clipCells([...frames, 5, 4, 3, 2]) }, endsWithSpeech],
  cut_off: [
    {
      title: longer,
      speech: [block('speech', 'speech', 6), block('not used', 'unused', 4)],
      output: clipCells(frames),
    },
    endsWithSpeech,
  ],
  silence: [
    { title: longer, speech: fullSpeech, output: [...clipCells(frames), ...held(4)] },
    {
      title: shorter,
      speech: [block('speech', 'speech', 4), block('silence', 'silence', 2)],
      output: clipCells(frames),
    },
  ],
  remap: [
    { title: longer, speech: fullSpeech, output: clipCells(frames, 10 / 6) },
    { title: shorter, speech: [block('speech', 'speech', 4)], output: clipCells(frames, 4 / 6) },
  ],
};

function drawCells(cells: readonly Cell[], { x, y }: { readonly x: number; readonly y: number }): string {
  let left = x;
  return cells
    .map(({ text, color, width = 1 }) => {
      const widthPx = width * cellPx;
      const dash = color === 'unused' ? ' stroke-dasharray="3 3"' : '';
      const rect = `<rect x="${left.toFixed(1)}" y="${y}" width="${widthPx.toFixed(1)}" height="18" fill="${colors[color]}" stroke="#667"${dash}/>`;
      const label = `<text x="${(left + widthPx / 2).toFixed(1)}" y="${y + 13}" text-anchor="middle">${text}</text>`;
      left += widthPx;
      return rect + label;
    })
    .join('');
}

function drawScene({ title, speech, output }: Scene, x: number): string {
  const rows: readonly (readonly [string, readonly Cell[]])[] = [
    ['clip', clipCells(frames)],
    ['speech', speech],
    ['output', output],
  ];
  const drawn = rows.map(([name, cells], index) => {
    const y = 28 + index * 26;
    return `<text x="${x}" y="${y + 13}">${name}</text>${drawCells(cells, { x: x + 52, y })}`;
  });
  return `<text x="${x + 52}" y="18" font-weight="bold">${title}</text>${drawn.join('')}`;
}

function wrap(name: string, [width, height]: readonly [number, number], content: string): string {
  const style = 'font-family="sans-serif" font-size="11" fill="#223"';
  const background = `<rect width="${width}" height="${height}" fill="#fff"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}" ${style}>${background}${content}</svg>\n`;
}

/** Opening of the mouth at each of 24 steps; steps 9 to 16 are the pause. */
const spoken = [2, 5, 7, 3, 6, 8, 4, 6, 2];
const clipMouth = [1, 2, 4, 3, 1, 2, 5, 4, 2, 3, 5, 4, 2, 4, 5, 3, 2, 1, 3, 4, 2, 1, 2, 3];
const pauses: Readonly<Record<string, readonly number[]>> = {
  close: [1, 0, 0, 0, 0, 0, 0],
  keep: clipMouth.slice(9, 16),
  generate: [1, 1, 2, 1, 1, 2, 1],
};
const silenceModeText: Readonly<Record<string, string>> = {
  close: 'closed',
  keep: 'as in the clip',
  generate: 'follows the sound',
};

function drawMouths(openings: readonly number[], y: number, colorAt: (step: number) => string): string {
  return openings
    .map(
      (opening, step) =>
        `<ellipse cx="${70 + step * 20}" cy="${y}" rx="7" ry="${Math.max(0.8, opening)}" fill="${colorAt(step)}"/>`,
    )
    .join('');
}

function drawSilenceMode(name: string): string {
  const speech = [...spoken, ...Array.from({ length: 7 }, () => 0), ...spoken.slice(0, 8)];
  const output = [...spoken, ...(pauses[name] ?? []), ...spoken.slice(0, 8)];
  const isPause = (step: number): boolean => step > 8 && step < 16;
  const wave = speech
    .map((level, step) => {
      const height = 2 + level * 2;
      return `<rect x="${63 + step * 20}" y="${38 - height / 2}" width="14" height="${height}" fill="${colors.speech}"/>`;
    })
    .join('');
  const pause = `<rect x="240" y="8" width="140" height="110" fill="#f3f6fa"/><text x="310" y="20" text-anchor="middle">pause: ${silenceModeText[name]}</text>`;
  const labels = ['speech', 'clip', 'output'].map((text, row) => `<text x="6" y="${42 + row * 32}">${text}</text>`);
  const mouths =
    drawMouths(clipMouth, 70, () => '#7ea9dd') +
    drawMouths(output, 102, (step) => (isPause(step) && name === 'keep' ? '#7ea9dd' : '#c8842f'));
  return pause + labels.join('') + wave + mouths;
}

await mkdir(folder, { recursive: true });
for (const [name, [first, second]] of Object.entries(syncModes)) {
  const content = (first ? drawScene(first, 6) : '') + (second ? drawScene(second, 306) : '');
  await writeFile(join(folder, `sync-${name}.svg`), wrap(`sync_mode ${name}`, [510, 112], content));
}
for (const name of Object.keys(pauses))
  await writeFile(join(folder, `silence-${name}.svg`), wrap(`silence_mode ${name}`, [560, 124], drawSilenceMode(name)));
