import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderMarkedVideo } from '../src/media/ffmpeg.ts';
import { probeBytes } from './standin-fixture.ts';

const run = promisify(execFile);

describe('rendered videos', () => {
  let folder: string;
  let clipPath: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'standin-render-'));
    clipPath = join(folder, 'tall.mp4');
    const video = ['-f', 'lavfi', '-i', 'testsrc2=size=151x1441:rate=25:duration=1'];
    const audio = ['-f', 'lavfi', '-i', 'sine=duration=1'];
    const encoding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv444p'];
    await run('ffmpeg', ['-v', 'error', ...video, ...audio, ...encoding, clipPath]);
  });
  afterAll(async () => rm(folder, { recursive: true }));

  const render = async (durationMs: number, keepSize: boolean, signal = new AbortController().signal) => {
    const outputPath = join(folder, 'out.mp4');
    await renderMarkedVideo(
      { videoPath: clipPath, audioPath: clipPath, outputPath, durationMs, keepSize, mouth: 'old' },
      signal,
    );
    const bytes = await readFile(outputPath);
    return probeBytes(new Uint8Array(bytes).buffer);
  };

  it('A render keeps the size rounded to even numbers, or scales the video down.', async () => {
    expect((await render(400, true)).streams[0]).toMatchObject({ width: 150, height: 1440 });
    expect((await render(400, false)).streams[0]).toMatchObject({ width: 74, height: 720 });
  });

  it.each([400, 1_150])('A render cuts or extends video and audio to %i ms.', async (durationMs) => {
    const { format } = await render(durationMs, false);
    expect(Math.abs(format.duration * 1000 - durationMs)).toBeLessThanOrEqual(40);
  });

  it('A canceled render leaves no output.', async () => {
    await rm(join(folder, 'out.mp4'), { force: true });
    await expect(render(60_000, true, AbortSignal.timeout(100))).rejects.toThrow(/abort/);
    expect(await readdir(folder)).not.toContain('out.mp4');
  });
});
