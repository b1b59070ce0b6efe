import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTrackFile, TrackWriter } from './track-file.ts';

const frameCount = 100;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-tracks-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function pointsOf(frame: number): Float32Array {
  return Float32Array.from({ length: 478 * 3 }, (_, index) => frame * 1000 + index / 8);
}

/** Every tenth frame is absent. */
async function writeTrack(name: string): Promise<string> {
  const path = join(folder, name);
  const writer = new TrackWriter(path);
  for (let frame = 0; frame < frameCount; frame += 1)
    writer.add(frame % 10 === 0 ? 'absent' : 'found', pointsOf(frame));
  expect(writer.read(47)).toEqual({ presence: 'found', points: pointsOf(47) });
  await writer.finish({
    frameCount,
    shotStarts: [0, 40],
    absentRanges: [{ start: 0, end: 1 }],
    hiddenRanges: [{ start: 60, end: 70, reason: 'covered' }],
    faceChoices: [],
    fadeFrames: 3,
  });
  writer.close();
  return path;
}

describe('openTrackFile', () => {
  it('Frames can be read in any order.', async () => {
    const opening = openTrackFile(await writeTrack('intact'), false);
    const track = opening.state === 'intact' ? opening.track : undefined;
    expect(track).toMatchObject({
      frameCount,
      shotStarts: [0, 40],
      absentRanges: [{ start: 0, end: 1 }],
      hiddenRanges: [{ start: 60, end: 70, reason: 'covered' }],
      cached: false,
    });
    expect([0, 1, 4, 56, 58, 60, 69, 71, 73].map((frame) => track?.visibility(frame).toFixed(2))).toEqual(
      [0, 0.25, 1, 1, 0.5, 0, 0, 0.5, 1].map((opacity) => opacity.toFixed(2)),
    );
    for (const frame of [99, 3, 57, 4, 98, 33])
      expect(track?.frame(frame)).toEqual({ presence: 'found', points: pointsOf(frame) });
    expect(track?.frame(50)).toEqual({ presence: 'absent', points: new Float32Array(0) });
    expect(() => track?.frame(frameCount)).toThrow(RangeError);
    track?.close();
  });

  it('A file with a changed byte, without its end, or of another format is damaged.', async () => {
    const changed = await writeTrack('changed');
    const bytes = await readFile(changed);
    bytes.writeUInt8(bytes.readUInt8(12_345) ^ 4, 12_345);
    await writeFile(changed, bytes);
    const short = await writeTrack('short');
    await truncate(short, bytes.length - 100);
    const text = join(folder, 'text');
    await writeFile(text, 'This is a text that is longer than a trailer.');
    expect([changed, short, text].map((path) => openTrackFile(path, false).state)).toEqual([
      'damaged',
      'damaged',
      'damaged',
    ]);
    expect(openTrackFile(join(folder, 'missing'), false)).toEqual({ state: 'missing' });
  });
});
