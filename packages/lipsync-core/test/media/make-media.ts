import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import {
  openFrames,
  openTake,
  planTimeline,
  probeClip,
  probeSpeech,
  type ClipFacts,
  type MediaLimits,
  type Timeline,
} from '../../src/media/index.ts';
import type { SyncMode } from '../../src/contract/index.ts';

const execute = promisify(execFile);

export const limits: MediaLimits = { maxDurationMs: 600_000, maxDimensionPx: 4096 };

/** Creates a folder that is deleted after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-media-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Creates an input with ffmpeg; the last argument is the file. */
export async function makeMedia(...argumentsOfRun: readonly string[]): Promise<string> {
  const path = argumentsOfRun.at(-1) ?? '';
  await execute('ffmpeg', ['-nostdin', '-loglevel', 'error', '-y', ...argumentsOfRun.slice(0, -1), `file:${path}`]);
  return path;
}

export const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'] as const;

/** Creates a small clip that encodes frame numbers as luma: frame n is uniform gray of 16 + 4 × n. */
export async function makeNumberedClip(path: string, frameCount: number, rate = '25', size = '96x64'): Promise<string> {
  const source = `nullsrc=s=${size}:r=${rate},geq=lum='16+4*N':cb=128:cr=128,format=yuv420p`;
  return makeMedia('-f', 'lavfi', '-i', source, '-frames:v', String(frameCount), ...x264, '-qp', '1', path);
}

/** Reads the number that `makeNumberedClip` wrote into a frame. */
export function numberOf(frame: Uint8Array): number {
  return Math.round(((frame[frame.length >> 2] ?? 0) - 16) / 4);
}

export async function makeSpeech(path: string, seconds: number, ...more: readonly string[]): Promise<string> {
  return makeMedia('-f', 'lavfi', '-i', `sine=frequency=220:duration=${seconds}:sample_rate=16000`, ...more, path);
}

export interface PassedThrough {
  readonly takePath: string;
  readonly clip: ClipFacts;
  readonly timeline: Timeline;
}

/** Probes a clip, decodes it in the order of the timeline and encodes it with the speech, without drawing. */
export async function passThrough(
  folder: string,
  clipPath: string,
  speechPath: string,
  syncMode: SyncMode = 'loop',
): Promise<PassedThrough> {
  const clip = await probeClip(clipPath, { limits });
  const targetPath = join(folder, 'decoded-speech.wav');
  const speech = { path: targetPath, facts: await probeSpeech(speechPath, { limits, targetPath }) };
  const timeline = planTimeline(clip, speech.facts.durationMs, { syncMode });
  const takePath = join(folder, 'take.mp4');
  const { width, height, frameRate, color } = clip;
  const take = openTake({ path: takePath, width, height, frameRate, color, frameCount: timeline.frameCount, speech });
  try {
    for await (const frame of openFrames({ path: clipPath, facts: clip, timeline, workFolder: folder }))
      await take.write(frame.data);
    await take.finish();
  } catch (error) {
    await take.abort();
    throw error;
  }
  return { takePath, clip, timeline };
}
