import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');

/** Writes one second of the sample clip, scaled down, and of the sample speech to `folder`. */
export async function makeShortSample(
  folder: string,
): Promise<{ readonly clipPath: string; readonly speechPath: string }> {
  const clipPath = join(folder, 'clip.mp4');
  const speechPath = join(folder, 'speech.wav');
  const ffmpeg = (...args: string[]) =>
    promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-t', '1', ...args]);
  await ffmpeg('-i', join(samples, 'presenter.mp4'), '-vf', 'scale=640:-2', '-an', '-preset', 'ultrafast', clipPath);
  await ffmpeg('-i', join(samples, 'speech.wav'), speechPath);
  return { clipPath, speechPath };
}
