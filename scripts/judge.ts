/**
 * `node scripts/judge.ts FOLDER [NAME_PART]`: makes a preview of every clip in FOLDER with every speech in it, measures
 * each output and prints a table: frames, durations, similarity outside the mouth, and how the lips follow the sound.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { judgeTake, type Judgement } from './judge/judge-take.ts';
import { getLipsyncService } from '../packages/lipsync-core/src/index.ts';

const clipTypes = new Set(['.mp4', '.avi', '.png']);
const columns = [
  'clip',
  'speech',
  'frames',
  'expected',
  'sound − picture, ms',
  'SSIM outside',
  'lag',
  'r',
  'open in pauses',
  'in the picture',
];

const folder = process.argv[2];
if (folder === undefined) throw new Error('Usage: judge FOLDER [NAME_PART]. FOLDER contains clips and speeches.');
const clipNamePart = process.argv[3] ?? '';

const names = (await readdir(folder)).sort();
const clips = names.filter((name) => clipTypes.has(extname(name)) && name.includes(clipNamePart));
const speeches = names.filter((name) => extname(name) === '.wav');
const work = await mkdtemp(join(tmpdir(), 'lipsync-judge-'));
await mkdir(join(work, 'out'));
const service = getLipsyncService({ dataDir: join(work, 'data') });

console.log(`| ${columns.join(' | ')} |\n|${columns.map(() => '---|').join('')}`);
try {
  for (const clip of clips)
    for (const speech of speeches)
      console.log(row(clip, speech, await judge(join(folder, clip), join(folder, speech))));
} finally {
  await service.close();
  await rm(work, { recursive: true, force: true });
}

async function judge(videoPath: string, audioPath: string): Promise<Judgement> {
  const outputPath = join(work, 'out', `${basename(videoPath)}-${basename(audioPath)}.mp4`);
  await service.generateLipsync({ videoPath, audioPath, outputPath, method: 'preview' });
  try {
    return await judgeTake({ videoPath, audioPath, outputPath, work, signal: AbortSignal.timeout(20 * 60_000) });
  } finally {
    await rm(outputPath, { force: true });
  }
}

function row(
  clip: string,
  speech: string,
  { frames, expectedFrames, soundMinusPictureMs, ssim, lag, r, openInPauses, openInPausesInPicture }: Judgement,
): string {
  const figures = [
    frames,
    expectedFrames,
    soundMinusPictureMs.toFixed(0),
    ssim.toFixed(4),
    lag,
    r.toFixed(2),
    shareText(openInPauses),
    shareText(openInPausesInPicture),
  ];
  return `| ${[basename(clip), basename(speech), ...figures].join(' | ')} |`;
}

function shareText(share: number | null): string {
  return share === null ? 'no pause' : share.toFixed(3);
}
