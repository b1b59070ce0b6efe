import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { runProbe } from '../../src/media/ffprobe.ts';
import {
  canSeek,
  joinSegments,
  openFrames,
  planTimeline,
  probeClip,
  probeSpeech,
  type TakeLoopOptions,
  type TakeSegment,
} from '../../src/media/index.ts';
import { passThroughTask } from '../../src/media/takes/take-loop.ts';
import { limits, makeMedia, makeSpeech, temporaryFolder, x264 } from './make-media.ts';

const context = { signal: AbortSignal.timeout(120_000), onProgress: () => undefined };

/** Frames per segment: cuts away from and next to keyframes, and a segment of one frame. */
const lengths = [17, 1, 42, 30];
const frameCount = 90;

interface Made {
  readonly wholePath: string;
  readonly joinedPath: string;
}

/** Makes a take in one piece and from segments. */
async function makeBoth(task: Omit<TakeLoopOptions, 'takePath'>): Promise<Made> {
  const wholePath = join(task.workFolder, 'whole.mp4');
  await passThroughTask({ ...task, takePath: wholePath }, context);
  const segments = [];
  let start = 0;
  for (const length of lengths) {
    const segment: TakeSegment = { start, end: start + length, warmUpFrames: Math.min(start, 5) };
    const path = join(task.workFolder, `segment-${start}.mp4`);
    await passThroughTask({ ...task, segment, takePath: path }, context);
    segments.push({ path, frameCount: length });
    start += length;
  }
  const joinedPath = join(task.workFolder, 'joined.mp4');
  await joinSegments({ ...task, segments, takePath: joinedPath, signal: context.signal });
  return { wholePath, joinedPath };
}

async function prepare(rate: string, clipSeconds: number, sound: 'short' | 'long') {
  const folder = await temporaryFolder();
  const source = `testsrc2=s=160x96:r=${rate}:d=${clipSeconds}`;
  const encoding = [...x264, '-g', '24', '-bf', '2'];
  const clipPath = await makeMedia('-f', 'lavfi', '-i', source, ...encoding, join(folder, 'clip.mp4'));
  const clip = await probeClip(clipPath, { limits });
  const [numerator = 0, denominator = 1] = rate.split('/').map(Number);
  const takeSeconds = (frameCount * denominator) / numerator;
  const speechPath = await makeSpeech(join(folder, 'speech.wav'), sound === 'long' ? takeSeconds : takeSeconds / 2);
  const speech = await probeSpeech(speechPath, { limits });
  return { folder, clipPath, clip, speechPath, speech, workFolder: folder };
}

/** Times of all packets of a stream, in units of its time base. */
async function timesOf(path: string): Promise<readonly unknown[]> {
  const { stdout } = await promisify(execFile)('ffprobe', [
    '-v',
    'error',
    '-select_streams',
    'v',
    '-show_entries',
    'packet=pts,dts:stream=time_base',
    '-of',
    'csv=p=0',
    path,
  ]);
  return stdout.trim().split('\n').sort();
}

/** Digest of the decoded samples. */
async function soundOf(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)('ffmpeg', ['-v', 'error', '-i', path, '-map', '0:a', '-f', 'md5', '-']);
  return stdout;
}

/** Luma SSIM of each frame of a video against another one. */
async function ssimPerFrame(path: string, otherPath: string): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)(
    'ffmpeg',
    ['-v', 'error', '-i', path, '-i', otherPath, '-lavfi', '[0:v][1:v]ssim=f=-', '-f', 'null', '-'],
    { maxBuffer: 2 ** 24 },
  );
  return Array.from(stdout.matchAll(/Y:([\d.]+)/g), ([, value]) => Number(value));
}

describe('A take that is joined from segments', { timeout: 120_000 }, () => {
  it.each(['25', '30000/1001'])(
    'At %s frames per second it has the times, the samples and the picture of the take in one piece.',
    async (rate) => {
      const inputs = await prepare(rate, 5, 'long');
      const timeline = planTimeline(inputs.clip, inputs.speech.durationMs, { syncMode: 'cut_off' });
      expect(timeline.frameCount).toBe(frameCount);
      expect(canSeek(inputs.clip)).toBe(true);
      const { wholePath, joinedPath } = await makeBoth({ ...inputs, timeline });
      expect(await timesOf(joinedPath)).toEqual(await timesOf(wholePath));
      expect(await soundOf(joinedPath)).toBe(await soundOf(wholePath));
      const similarity = await ssimPerFrame(joinedPath, wholePath);
      expect(similarity).toHaveLength(frameCount);
      expect(Math.min(...similarity)).toBeGreaterThan(0.98);
      const { streams } = await runProbe(joinedPath, { signal: context.signal });
      expect(streams.map(({ codec_type }) => codec_type)).toEqual(['video', 'audio']);
    },
  );

  it.each(['loop', 'bounce', 'remap', 'silence'] as const)(
    'In the mode %s, each frame of a range is the one of the whole timeline, also at the seams of a loop.',
    async (syncMode) => {
      const { folder, clip, clipPath } = await prepare('25', 1.4, 'long');
      const timeline = planTimeline(clip, frameCount * 40, { syncMode });
      const shown = { path: clipPath, facts: clip, timeline, workFolder: folder, withSeams: true };
      const read = async (outputs?: { readonly start: number; readonly end: number }) => {
        const pictures: string[] = [];
        for await (const { index, clipFrame, data } of openFrames({ ...shown, outputs }))
          pictures.push(`${index} ${clipFrame} ${Buffer.from(data).toString('base64')}`);
        return pictures;
      };
      const whole = await read();
      const parts = [];
      for (const [start, end] of [
        [0, 33],
        [33, 34],
        [34, 71],
        [71, frameCount],
      ] as const)
        parts.push(...(await read({ start, end })));
      expect(parts.length).toBe(whole.length);
      expect(parts.every((picture, index) => picture === whole[index])).toBe(true);
    },
  );
});
