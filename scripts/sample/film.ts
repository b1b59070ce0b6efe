/** Encodes drawn frames with ffmpeg. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename } from 'node:fs/promises';
import type { Canvas } from '@napi-rs/canvas';

type Film = {
  readonly framesPerSecond: number;
  readonly width: number;
  readonly height: number;
  readonly soundPath: string;
  readonly outputPath: string;
};

/**
 * Encodes frames and sound to H.264/AAC with slight film grain. Writes a partial file first, then renames it.
 * Throws when ffmpeg fails; ffmpeg has then printed the reason on stderr.
 */
export async function encodeFilm(film: Film, frames: Iterable<Canvas>): Promise<void> {
  const partPath = `${film.outputPath}.part.mp4`;
  const encoder = spawn('ffmpeg', encodeArguments(film, partPath), { stdio: ['pipe', 'inherit', 'inherit'] });
  const ended = once(encoder, 'close');
  for (const frame of frames) {
    if (!encoder.stdin.write(frame.data())) await once(encoder.stdin, 'drain');
  }
  encoder.stdin.end();
  const [exitCode] = await ended;
  if (exitCode !== 0) throw new Error(`ffmpeg exited with code ${exitCode} while encoding ${film.outputPath}.`);
  await rename(partPath, film.outputPath);
}

function encodeArguments(film: Film, partPath: string): string[] {
  return [
    '-v',
    'error',
    '-y',
    '-f',
    'rawvideo',
    '-pix_fmt',
    'rgba',
    '-s',
    `${film.width}x${film.height}`,
    '-r',
    String(film.framesPerSecond),
    '-i',
    'pipe:0',
    '-i',
    film.soundPath,
    '-vf',
    'noise=alls=3:allf=t:all_seed=25,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p',
    '-c:v',
    'libx264',
    '-preset',
    'slow',
    '-crf',
    '22',
    '-threads',
    '2',
    '-colorspace',
    'bt709',
    '-color_primaries',
    'bt709',
    '-color_trc',
    'bt709',
    '-color_range',
    'tv',
    '-c:a',
    'aac',
    '-b:a',
    '80k',
    '-ar',
    '44100',
    '-af',
    'apad',
    '-shortest',
    '-movflags',
    '+faststart',
    '-bitexact',
    partPath,
  ];
}
