import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SyncMode } from '../../src/contract/index.ts';
import {
  openFrames,
  planTimeline,
  probeClip,
  type ClipFacts,
  type TimelineFrameOptions,
} from '../../src/media/index.ts';
import { limits, makeMedia, makeNumberedClip, numberOf, temporaryFolder, x264 } from './make-media.ts';

interface NumberedClip {
  readonly folder: string;
  readonly path: string;
  readonly facts: ClipFacts;
}

async function numberedClip(frameCount: number): Promise<NumberedClip> {
  const folder = await temporaryFolder();
  const path = await makeNumberedClip(join(folder, 'clip.mp4'), frameCount);
  return { folder, path, facts: await probeClip(path, { limits }) };
}

async function numbersAlong(
  { folder, path, facts }: NumberedClip,
  syncMode: SyncMode,
  speechMs: number,
  more: Partial<TimelineFrameOptions> = {},
): Promise<number[]> {
  const timeline = planTimeline(facts, speechMs, { syncMode });
  const numbers: number[] = [];
  for await (const frame of openFrames({ path, facts, timeline, workFolder: folder, ...more })) {
    numbers.push(numberOf(frame.data));
    frame.data.fill(0);
  }
  return numbers;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('openFrames with a timeline', () => {
  it('Every output frame has the right picture in every sync mode, even if the caller overwrites each frame.', async () => {
    const clip = await numberedClip(8);
    const there = upTo(8);
    const back = [6, 5, 4, 3, 2, 1];
    expect(await numbersAlong(clip, 'loop', 800)).toEqual([...there, ...there, ...upTo(4)]);
    expect(await numbersAlong(clip, 'bounce', 800)).toEqual([...there, ...back, ...upTo(6)]);
    expect(await numbersAlong(clip, 'cut_off', 800)).toEqual(there);
    expect(await numbersAlong(clip, 'silence', 400)).toEqual([...there, 7, 7]);
    expect(await numbersAlong(clip, 'remap', 640)).toEqual(there.flatMap((number) => [number, number]));
    expect(await numbersAlong(clip, 'remap', 160)).toEqual([1, 3, 5, 7]);
  });

  it('Every output frame has the right picture with a temporary file smaller than the clip, which is deleted.', async () => {
    const clip = await numberedClip(8);
    const spillBytes = 3 * 96 * 64 * 1.5;
    expect(await numbersAlong(clip, 'bounce', 800, { spillBytes })).toEqual([...upTo(8), 6, 5, 4, 3, 2, 1, ...upTo(6)]);
    expect(await numbersAlong(clip, 'loop', 800, { spillBytes })).toEqual([...upTo(8), ...upTo(8), ...upTo(4)]);
    expect(await readdir(clip.folder)).toEqual(['clip.mp4']);
  });

  it('Frames of a timeline with a window come only from the window.', async () => {
    const { folder, path, facts } = await numberedClip(8);
    const timeline = planTimeline(facts, 280, { syncMode: 'loop', window: { startMs: 80, endMs: 200 } });
    const numbers: number[] = [];
    for await (const { data } of openFrames({ path, facts, timeline, workFolder: folder }))
      numbers.push(numberOf(data));
    expect(numbers).toEqual([2, 3, 4, 2, 3, 4, 2]);
  });
});

describe('openFrames with seams', () => {
  const numbersOf = async (clip: NumberedClip, more: Partial<TimelineFrameOptions>): Promise<string[]> => {
    const { folder, path, facts } = clip;
    const timeline = planTimeline(facts, 1_000, { syncMode: 'loop' });
    const numbers: string[] = [];
    for await (const { index, clipFrame, data } of openFrames({
      path,
      facts,
      timeline,
      workFolder: folder,
      withSeams: true,
      ...more,
    })) {
      expect(numberOf(data)).toBe(clipFrame);
      numbers.push(`${index}:${clipFrame}`);
      data.fill(0);
    }
    return numbers;
  };

  it('Output frames at the seam of a loop have two pictures, and all others one, with and without a temporary file.', async () => {
    const clip = await numberedClip(16);
    const plain = (from: number, to: number): string[] =>
      upTo(25)
        .slice(from, to)
        .map((index) => `${index}:${index % 16}`);
    const expected = [...plain(0, 15), '14:0', '15:15', '15:0', '16:0', '16:15', '17:1', '17:15', ...plain(18, 25)];
    expect(await numbersOf(clip, {})).toEqual(expected);
    expect(await numbersOf(clip, { spillBytes: 3 * 96 * 64 * 1.5 })).toEqual(expected);
  });
});

describe('openFrames with a range', () => {
  it('A range yields the same picture for a frame index as a timeline, also at another size and in RGB.', async () => {
    const { path, facts } = await numberedClip(12);
    const numbers: number[] = [];
    for await (const { data } of openFrames({
      path,
      facts,
      range: { start: 3, end: 9 },
      width: 48,
      height: 32,
      pixelFormat: 'rgb24',
    })) {
      expect(data).toHaveLength(48 * 32 * 3);
      numbers.push(Math.round(((data[0] ?? 0) * 219) / 255 / 4));
    }
    expect(numbers).toEqual([3, 4, 5, 6, 7, 8]);
  });

  it('A range with a step yields the first of so many frames, with their numbers in the clip.', async () => {
    const { path, facts } = await numberedClip(12);
    const seen: (readonly number[])[] = [];
    for await (const { clipFrame, data } of openFrames({ path, facts, range: { start: 2, end: 12 }, every: 4 }))
      seen.push([clipFrame, numberOf(data)]);
    expect(seen).toEqual([
      [2, 2],
      [6, 6],
      [10, 10],
    ]);
  });

  it('As many yielded frames stay valid as keepFrames specifies.', async () => {
    const { path, facts } = await numberedClip(10);
    const kept: Uint8Array[] = [];
    for await (const { data } of openFrames({ path, facts, range: { start: 0, end: 10 }, keepFrames: 4 })) {
      kept.push(data);
      const last = kept.slice(-4);
      expect(last.map(numberOf)).toEqual(upTo(kept.length).slice(-4));
    }
  });

  it('The last picture is repeated if the clip is shorter than probed.', async () => {
    const { path, facts } = await numberedClip(5);
    const numbers: number[] = [];
    for await (const { data } of openFrames({ path, facts, range: { start: 0, end: 8 } })) {
      numbers.push(numberOf(data));
      data.fill(0);
    }
    expect(numbers).toEqual([0, 1, 2, 3, 4, 4, 4, 4]);
  });

  it('Reading uses a bounded number of buffers and copies none but the last frame, for clips of any length.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia('-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=50:d=8', ...x264, join(folder, 'clip.mp4'));
    const facts = await probeClip(path, { limits });
    const frames = openFrames({ path, facts, range: { start: 0, end: 400 } });
    let delivered = 0;
    for await (const frame of frames) delivered += frame.data.length > 0 ? 1 : 0;
    expect(delivered).toBe(400);
    expect(frames.statistics.buffersAllocated).toBeLessThanOrEqual(8);
    // The reader retains the last frame.
    expect(frames.statistics.bytesCopied).toBe(320 * 240 * 1.5);
  });
});
