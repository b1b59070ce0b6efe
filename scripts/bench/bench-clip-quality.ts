/**
 * `npm run bench -- quality-clip [--pairs 3] [--seconds 60]`: measures the quality of a clip that was never seen before
 * against the tracking of its face alone, in turn, each in a process of its own with empty caches.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { z } from 'zod';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { median } from './comparison.ts';

const script = join(import.meta.dirname, 'measure-clip-quality.ts');
const figuresSchema = z.object({ seconds: z.number() });
const execute = promisify(execFile);

/** Prints one row per pair and the median. Deletes its files. */
export async function benchClipQuality(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { pairs: { type: 'string', default: '3' }, seconds: { type: 'string', default: '60' } },
  });
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-clip-quality-'));
  const timeout = 10 * 60_000 + Number(values.seconds) * 1_000;
  try {
    const clipPath = await makeClip(folder, Number(values.seconds), timeout);
    console.log(`A clip of ${values.seconds} s:\n\n| tracking, s | quality, s | quality / tracking |\n|---|---|---|`);
    const ratios: number[] = [];
    for (let pair = 0; pair < Number(values.pairs); pair += 1) {
      const tracking = await measure('track', { clipPath, folder, timeout });
      const quality = await measure('quality', { clipPath, folder, timeout });
      ratios.push(quality / tracking);
      console.log(`| ${tracking.toFixed(2)} | ${quality.toFixed(2)} | ${(quality / tracking).toFixed(2)} |`);
    }
    console.log(`\nMedian of quality / tracking: ${median(ratios).toFixed(2)}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The lengthened sample with its speech. */
async function makeClip(folder: string, seconds: number, timeout: number): Promise<string> {
  const { clipPath, speechPath } = await lengthenSample(folder, seconds, AbortSignal.timeout(timeout));
  const path = join(folder, 'video.mp4');
  const inputs = ['-i', clipPath, '-i', speechPath];
  await execute('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...inputs, '-c:v', 'copy', path], { timeout });
  return path;
}

interface Measurement {
  readonly clipPath: string;
  readonly folder: string;
  readonly timeout: number;
}

async function measure(work: 'track' | 'quality', { clipPath, folder, timeout }: Measurement): Promise<number> {
  const dataFolder = join(folder, work);
  await rm(dataFolder, { recursive: true, force: true });
  await mkdir(dataFolder);
  const env = { ...process.env, LIPSYNC_DATA_DIR: dataFolder };
  const { stdout } = await execute(process.execPath, [script, work, clipPath, dataFolder], { env, timeout });
  return figuresSchema.parse(JSON.parse(stdout)).seconds;
}
