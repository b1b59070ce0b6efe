import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  openFrames,
  openFramesAhead,
  openTakeAside,
  planTimeline,
  probeClip,
  probeSpeech,
  probeTake,
  type Frame,
  type FrameStream,
} from '../../src/media/index.ts';
import { limits, makeNumberedClip, makeSpeech, numberOf, temporaryFolder } from './make-media.ts';

const frameCount = 20;

async function describeAll(frames: FrameStream): Promise<string[]> {
  const seen: string[] = [];
  for await (const frame of frames) seen.push(describeFrame(frame));
  return seen;
}

function describeFrame({ index, clipFrame, width, height, data }: Frame): string {
  return `${index} ${clipFrame} ${width}x${height} ${numberOf(data)}`;
}

async function prepare() {
  const folder = await temporaryFolder();
  const path = await makeNumberedClip(join(folder, 'clip.mp4'), frameCount);
  const speechPath = await makeSpeech(join(folder, 'speech.wav'), 2);
  const facts = await probeClip(path, { limits });
  const speech = { path: speechPath, facts: await probeSpeech(speechPath, { limits }) };
  const timeline = planTimeline(facts, speech.facts.durationMs, { syncMode: 'bounce' });
  return { folder, path, facts, timeline, speech };
}

describe('openFramesAhead', () => {
  it('Frames from a thread equal those of openFrames, including the statistics.', async () => {
    const { folder, path, facts, timeline } = await prepare();
    const options = { path, facts, timeline, workFolder: folder };
    const here = openFrames(options);
    const ahead = openFramesAhead(options);
    expect(await describeAll(ahead)).toEqual(await describeAll(here));
    expect(ahead.statistics.framesDecoded).toBe(here.statistics.framesDecoded);
  });

  it('Frames from a thread stay valid for keepFrames further frames.', async () => {
    const { path, facts } = await prepare();
    const kept: Frame[] = [];
    for await (const frame of openFramesAhead({ path, facts, range: { start: 0, end: frameCount }, keepFrames: 3 })) {
      kept.push(frame);
      if (kept.length > 3) kept.shift();
      expect(kept.map(({ data }) => numberOf(data))).toEqual(kept.map(({ clipFrame }) => clipFrame));
    }
  });

  it('Leaving the frame loop early ends the thread and deletes its files.', async () => {
    const { folder, path, facts, timeline } = await prepare();
    const before = await readdir(folder);
    for await (const { index } of openFramesAhead({ path, facts, timeline, workFolder: folder }))
      if (index === 3) break;
    expect(await readdir(folder)).toEqual(before);
  });

  it('A failure in a thread arrives with its code and details.', async () => {
    const { folder, facts } = await prepare();
    const missing = { path: join(folder, 'gone.mp4'), facts, range: { start: 0, end: frameCount } };
    const [here, ahead] = await Promise.allSettled([
      describeAll(openFrames(missing)),
      describeAll(openFramesAhead(missing)),
    ]);
    expect(here).toMatchObject({
      status: 'rejected',
      reason: { code: 'media_failed', details: { exitCode: expect.any(Number) } },
    });
    const { code, message, details } = here.status === 'rejected' ? here.reason : {};
    expect(ahead).toMatchObject({ status: 'rejected', reason: { code, message, details } });
  });

  it('Frames from a thread stop when the signal aborts.', async () => {
    const { path, facts } = await prepare();
    const controller = new AbortController();
    const reading = (async () => {
      for await (const { index } of openFramesAhead({
        path,
        facts,
        range: { start: 0, end: frameCount },
        signal: controller.signal,
      })) {
        if (index === 2) controller.abort();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe('openTakeAside', () => {
  it('A take written from a thread contains all frames with several writes pending.', async () => {
    const { folder, path, facts, timeline, speech } = await prepare();
    const { width, height, frameRate, color } = facts;
    const takePath = join(folder, 'take.mp4');
    const take = openTakeAside({
      path: takePath,
      width,
      height,
      frameRate,
      color,
      frameCount: timeline.frameCount,
      speech,
    });
    const writes: Promise<void>[] = [];
    for await (const frame of openFramesAhead({ path, facts, timeline, workFolder: folder, keepFrames: 3 })) {
      writes.push(take.write(frame.data));
      if (writes.length > 2) await writes.shift();
    }
    await Promise.all(writes);
    await take.finish();
    await take.abort();
    expect((await probeTake(takePath)).frameCount).toBe(timeline.frameCount);
    const made = await probeClip(takePath, { limits });
    const numbers = (await describeAll(openFrames({ path: takePath, facts: made, range: { start: 0, end: 5 } }))).map(
      (text) => text.split(' ').at(-1),
    );
    expect(numbers).toEqual(['0', '1', '2', '3', '4']);
  });

  it('An aborted take leaves no file, and a frame of the wrong size is rejected.', async () => {
    const { folder, facts, speech } = await prepare();
    const { width, height, frameRate, color } = facts;
    const before = await readdir(folder);
    const take = openTakeAside({
      path: join(folder, 'take.mp4'),
      width,
      height,
      frameRate,
      color,
      frameCount: 5,
      speech,
    });
    await expect(take.write(new Uint8Array(3))).rejects.toMatchObject({ code: 'internal' });
    await take.abort();
    expect(await readdir(folder)).toEqual(before);
  });
});
