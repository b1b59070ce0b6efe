import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTakeFault } from '../../src/media/index.ts';
import { makeMedia, temporaryFolder, x264 } from './make-media.ts';

const { signal } = new AbortController();
const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=160x96:r=25:d=2'];
const sound = ['-f', 'lavfi', '-i', 'sine=frequency=220:duration=2'];
const fastStart = ['-movflags', '+faststart'];

describe('a take that came from elsewhere', () => {
  it('has no fault when it is whole and about as long as it should be', async () => {
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
    ['is no H.264', [...picture, ...sound, '-c:v', 'mpeg4', '-c:a', 'aac'], 'take.mp4', 'no H.264'],
    ['is no MP4', [...picture, ...sound, ...x264, '-c:a', 'aac'], 'take.mkv', 'no H.264 video in MP4'],
    ['has no sound', [...picture, ...x264], 'take.mp4', 'no sound'],
    ['has no picture', [...sound, '-c:a', 'aac'], 'take.mp4', 'no picture'],
    ['is too short', [...picture, ...sound, ...x264, '-c:a', 'aac', '-t', '1'], 'take.mp4', 'instead of 2000'],
  ] as const)('is refused when it %s', async (_, commands, name, fault) => {
    const path = await makeMedia(...commands, join(await temporaryFolder(), name));
    expect(await findTakeFault(path, { durationMs: 2_000, signal })).toContain(fault);
  });

  it('is refused when its end is missing although its beginning promises all of it', async () => {
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
    expect(await findTakeFault(path, { durationMs: 2_000, signal })).toMatch(/cannot be decoded|are there/);
  });

  it('is refused when its picture is noise', async () => {
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

  it("that cannot be looked at for another reason is nobody's fault", async () => {
    await expect(
      findTakeFault('/nowhere/take.mp4', { durationMs: 1, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'canceled' });
  });
});
