import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const samples = join(import.meta.dirname, '..', '..', 'samples');

/** Writes the sample clip and the sample speech, each repeated to `seconds`, to `folder`. */
export async function lengthenSample(
  folder: string,
  seconds: number,
  signal: AbortSignal,
): Promise<{ clipPath: string; speechPath: string }> {
  const clipPath = join(folder, 'clip.mp4');
  const speechPath = join(folder, 'speech.wav');
  const ffmpeg = (...args: string[]) =>
    promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-stream_loop', '-1', ...args], { signal });
  // Re-encoded instead of copied: a copied loop has timestamps that no camera writes.
  await ffmpeg(
    '-i',
    join(samples, 'presenter.mp4'),
    '-t',
    String(seconds),
    '-an',
    '-preset',
    'veryfast',
    '-crf',
    '18',
    clipPath,
  );
  await ffmpeg('-i', join(samples, 'speech.wav'), '-t', String(seconds), speechPath);
  return { clipPath, speechPath };
}
