/**
 * Draws the pictures of the visible label in packages/lipsync-core/assets/labels, one per language:
 * `node scripts/draw-labels.ts LATIN_FONT CHINESE_FONT`. They were drawn with Noto Sans and Noto Sans SC in weight 600
 * (SIL Open Font License 1.1, whose FAQ leaves pictures of text to their makers). ffmpeg needs drawtext.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { labelLanguages } from '@lipsync/core/contract';

const texts: Readonly<Record<(typeof labelLanguages)[number], string>> = {
  de: 'Mit KI erzeugt',
  en: 'AI-generated',
  es: 'Generado con IA',
  fr: 'Généré par IA',
  it: 'Generato con IA',
  pt: 'Gerado por IA',
  zh: '人工智能合成',
};

const heightPx = 160;
/** Letters of the Latin script are 0.71 of it, more than half of the label. */
const fontSizePx = Math.round(heightPx * 0.72);
const paddingPx = 36;
const boxOpacity = 0.6;

const run = promisify(execFile);
const [latinFont = '', chineseFont = ''] = process.argv.slice(2);
const folder = join(import.meta.dirname, '..', 'packages', 'lipsync-core', 'assets', 'labels');
await mkdir(folder, { recursive: true });
const workFolder = await mkdtemp(join(tmpdir(), 'labels-'));
try {
  for (const [language, text] of Object.entries(texts)) {
    const textFile = join(workFolder, 'text');
    await writeFile(textFile, text);
    const font = language === 'zh' ? chineseFont : latinFont;
    const draw = (x: string): string =>
      `drawtext=fontfile=${font}:textfile=${textFile}:fontcolor=white:fontsize=${fontSizePx}:x=${x}:y=(h-th)/2`;
    const width = 2 * Math.ceil((await widthOf(draw('0'))) / 2 + paddingPx);
    const source = `color=black@${boxOpacity}:s=${width}x${heightPx},format=rgba`;
    const target = join(folder, `${language}.png`);
    await run('ffmpeg', [
      '-y',
      '-v',
      'error',
      '-f',
      'lavfi',
      '-i',
      `${source},${draw('(w-tw)/2')}`,
      '-frames:v',
      '1',
      target,
    ]);
  }
} finally {
  await rm(workFolder, { recursive: true });
}

/** Width of the drawn text, from the last column that is not black. */
async function widthOf(draw: string): Promise<number> {
  const columns = 3_000;
  const source = `color=black:s=${columns}x${heightPx},${draw},format=gray`;
  const options = { encoding: 'buffer', maxBuffer: columns * heightPx } as const;
  const decode = ['-v', 'error', '-f', 'lavfi', '-i', source, '-frames:v', '1', '-f', 'rawvideo', '-'];
  const { stdout } = await run('ffmpeg', decode, options);
  let last = 0;
  for (const [index, value] of stdout.entries()) if (value > 64) last = Math.max(last, index % columns);
  return last + 1;
}
