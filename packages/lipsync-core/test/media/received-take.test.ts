import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTakeFault } from '../../src/media/index.ts';
import { makeMedia, temporaryFolder, x264 } from './make-media.ts';

const { signal } = new AbortController();
const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=160x96:r=25:d=2'];
const sound = ['-f', 'lavfi', '-i', 'sine=frequency=220:duration=2'];
const fastStart = ['-movflags', '+faststart'];

describe('findTakeFault', () => {
  it('A complete take of about the expected duration has no fault.', async () => {
    const path = await makeMedia(
      ...picture,
      ...sound,
      ...x264,
      '-c:a',
      'aac',
      join(await temporaryFolder(), 'take.mp4'),
    );
    for (const durationMs of [1_700, 2_000, 2_300])
      expect(await findTakeFault(path, { durationMs, signal })).toBeNull();
  });

  it.each([
    ['is not H.264', [...picture, ...sound, '-c:v', 'mpeg4', '-c:a', 'aac'], 'take.mp4', 'not an H.264'],
    ['is not MP4', [...picture, ...sound, ...x264, '-c:a', 'aac'], 'take.mkv', 'not an H.264 video in MP4'],
    ['has no sound', [...picture, ...x264], 'take.mp4', 'no audio stream'],
    ['has no video', [...sound, '-c:a', 'aac'], 'take.mp4', 'no video stream'],
    ['is too short', [...picture, ...sound, ...x264, '-c:a', 'aac', '-t', '1'], 'take.mp4', 'instead of 2000'],
  ] as const)('A take is rejected when it %s.', async (_, commands, name, fault) => {
    const path = await makeMedia(...commands, join(await temporaryFolder(), name));
    expect(await findTakeFault(path, { durationMs: 2_000, signal })).toContain(fault);
  });

  it('A take is rejected when its end is missing although its index is complete.', async () => {
    const path = await makeMedia(
      ...picture,
      ...sound,
      ...x264,
      '-c:a',
      'aac',
      ...fastStart,
      join(await temporaryFolder(), 'take.mp4'),
    );
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, Math.floor(bytes.length * 0.7)));
    expect(await findTakeFault(path, { durationMs: 2_000, signal })).toMatch(/cannot be decoded|contains only/);
  });

  it('A take is rejected when its video cannot be decoded.', async () => {
    const path = await makeMedia(
      ...picture,
      ...sound,
      ...x264,
      '-c:a',
      'aac',
      ...fastStart,
      join(await temporaryFolder(), 'take.mp4'),
    );
    const { size } = await stat(path);
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(Math.floor(size / 2), 0x5a), 0, undefined, Math.floor(size / 3));
    await file.close();
    expect(await findTakeFault(path, { durationMs: 2_000, signal })).toContain('cannot be decoded');
  });

  it('A take that cannot be validated for another reason throws instead of being rejected.', async () => {
    await expect(
      findTakeFault('/nowhere/take.mp4', { durationMs: 1, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'canceled' });
  });
});
