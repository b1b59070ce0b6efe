import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const samples = join(import.meta.dirname, '..', '..', 'samples');

/** Writes the first `seconds` of the sample clip, scaled down, and of the sample speech to `folder`. */
export async function shortenSample(
  folder: string,
  seconds: number,
): Promise<{ readonly videoPath: string; readonly audioPath: string }> {
  const videoPath = join(folder, `clip-${seconds}.mp4`);
  const audioPath = join(folder, `speech-${seconds}.wav`);
  const ffmpeg = (...args: string[]) =>
    promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-t', String(seconds), ...args]);
  await ffmpeg('-i', join(samples, 'presenter.mp4'), '-vf', 'scale=320:-2', '-an', '-preset', 'ultrafast', videoPath);
  await ffmpeg('-i', join(samples, 'speech.wav'), audioPath);
  return { videoPath, audioPath };
}
