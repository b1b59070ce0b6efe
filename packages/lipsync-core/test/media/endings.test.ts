import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import {
  openFrames,
  openTake,
  planTimeline,
  probeClip,
  probeSpeech,
  type Frame,
  type FrameStream,
  type TakeWriter,
} from '../../src/media/index.ts';
import { MediaProcess } from '../../src/media/ffmpeg-process.ts';
import { limits, makeMedia, makeSpeech, temporaryFolder, x264 } from './make-media.ts';

interface Work {
  readonly folder: string;
  readonly frames: FrameStream;
  readonly take: TakeWriter;
  readonly takePath: string;
}

/** Starts a take much longer than the first frames; bounce mode also uses the temporary file. */
async function startWork(signal?: AbortSignal): Promise<Work> {
  const folder = await temporaryFolder();
  const path = await makeMedia('-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25:d=2', ...x264, join(folder, 'clip.mp4'));
  const speechPath = await makeSpeech(join(folder, 'speech.wav'), 30);
  const facts = await probeClip(path, { limits });
  const speech = { path: speechPath, facts: await probeSpeech(speechPath, { limits }) };
  const timeline = planTimeline(facts, speech.facts.durationMs, { syncMode: 'bounce' });
  const takePath = join(folder, 'take.mp4');
  const { width, height, frameRate, color } = facts;
  return {
    folder,
    takePath,
    frames: openFrames({ path, facts, timeline, workFolder: folder, signal }),
    take: openTake({
      path: takePath,
      width,
      height,
      frameRate,
      color,
      frameCount: timeline.frameCount,
      speech,
      signal,
    }),
  };
}

async function runUntil({ frames, take }: Work, onFrame: (frame: Frame) => void | Promise<void>): Promise<unknown> {
  try {
    for await (const frame of frames) {
      await take.write(frame.data);
      await onFrame(frame);
    }
    await take.finish();
    return undefined;
  } catch (error) {
    await take.abort();
    return error;
  }
}

/** Process ids of media tools whose arguments contain the folder. */
async function processesIn(folder: string): Promise<number[]> {
  const ids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const commands = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return ids.filter((_, index) => commands[index]?.startsWith('ff') && commands[index].includes(folder));
}

const inputs = ['clip.mp4', 'speech.wav'];

describe.runIf(process.platform === 'linux')('Media work that ends early', () => {
  it('Aborted media work leaves neither processes nor files and throws the abort reason.', async () => {
    const controller = new AbortController();
    const reason = new LipsyncError('deadline_exceeded', 'Too late.');
    const work = await startWork(controller.signal);
    const error = await runUntil(work, ({ index }) => {
      if (index === 20) controller.abort(reason);
    });
    expect(error).toBe(reason);
    expect(await processesIn(work.folder)).toEqual([]);
    expect((await readdir(work.folder)).toSorted()).toEqual(inputs);
  });

  it('A probe with an aborted signal starts no process.', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'clip.mp4'), 'anything');
    await expect(probeClip(join(folder, 'clip.mp4'), { limits, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'canceled',
    });
  });

  it('Media work whose ffmpeg is killed fails with media_failed and leaves no files.', async () => {
    const work = await startWork();
    const error = await runUntil(work, async ({ index }) => {
      if (index !== 20) return;
      for (const id of await processesIn(work.folder)) process.kill(id, 'SIGKILL');
    });
    expect(error).toMatchObject({ code: 'media_failed', details: { exitCode: null } });
    expect(await processesIn(work.folder)).toEqual([]);
    expect((await readdir(work.folder)).toSorted()).toEqual(inputs);
  });

  it('Leaving the frame loop early stops the decoder.', async () => {
    const work = await startWork();
    for await (const { index } of work.frames) if (index === 3) break;
    await work.take.abort();
    expect(await processesIn(work.folder)).toEqual([]);
    expect((await readdir(work.folder)).toSorted()).toEqual(inputs);
  });

  it('Finishing a take with too few frames throws and deletes the partial file.', async () => {
    const work = await startWork();
    for await (const { index, data } of work.frames) {
      await work.take.write(data);
      if (index === 3) break;
    }
    await expect(work.take.finish()).rejects.toMatchObject({ code: 'internal' });
    expect((await readdir(work.folder)).toSorted()).toEqual(inputs);
  });

  it('An ffmpeg without progress is stopped after the idle limit.', async () => {
    const running = new MediaProcess({
      tool: 'ffmpeg',
      arguments: ['-f', 'u8', '-i', 'pipe:0', '-f', 'null', '-'],
      fed: true,
      idleLimitMs: 300,
    });
    await expect(running.within(running.ended)).rejects.toMatchObject({
      code: 'media_failed',
      message: expect.stringContaining('no progress'),
    });
  });

  it('A missing ffprobe is reported by name with installation advice.', async () => {
    const script = `
      import { probeClip } from ${JSON.stringify(new URL('../../src/media/index.ts', import.meta.url).href)};
      await probeClip(process.argv[1], { limits: { maxDurationMs: 1000, maxDimensionPx: 1000 } }).catch(({ code, message }) => console.log(code, message));`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', script, import.meta.filename],
      { env: { PATH: '/nowhere' } },
    );
    expect(stdout).toMatch(/^media_failed ffprobe is not installed\. Install it/);
  });
});
