import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failureMessages, type MouthMode } from '../src/index.ts';
import { atOnce, byReads, useStandin } from './standin-fixture.ts';

const run = promisify(execFile);
const samples = join(import.meta.dirname, '..', '..', '..', 'samples');
const heygen = useStandin();

/** The presenter's mouth at 640 × 360, and a part of the picture that speech does not move. */
const mouth = 'crop=60:36:294:190';
const wall = 'crop=60:36:20:200';

describe('mouth modes', { timeout: 300_000 }, () => {
  let folder: string;
  let clip: Buffer;
  let speech: Buffer;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'standin-mouth-'));
    const [clipPath, speechPath] = [join(folder, 'clip.mp4'), join(folder, 'speech.wav')];
    const shorten = ['-nostdin', '-v', 'error', '-t', '1.6'];
    const sample = ['-i', join(samples, 'presenter.mp4'), '-i', join(samples, 'speech.wav')];
    const video = ['-map', '0:v', '-vf', 'scale=640:-2', '-preset', 'veryfast', '-crf', '16'];
    await run('ffmpeg', [...shorten, ...sample, ...video, '-map', '1:a', '-t', '1.6', clipPath]);
    await run('ffmpeg', [...shorten, '-i', join(samples, 'speech.wav'), speechPath]);
    const blank = ['-f', 'lavfi', '-i', 'color=gray:size=160x120:rate=25:duration=1.6'];
    await run('ffmpeg', ['-v', 'error', ...blank, '-i', speechPath, '-shortest', join(folder, 'blank.mp4')]);
    [clip, speech] = await Promise.all([readFile(clipPath), readFile(speechPath)]);
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  async function makeVideo(mode: MouthMode, video = clip): Promise<string> {
    heygen.standin.control.changeSettings({ mouth: mode });
    const id = await heygen.create({}, video, speech);
    await expect
      .poll(async () => (await heygen.read(id))['status'], { timeout: 200_000, interval: 500 })
      .toMatch(/completed|failed/);
    const { video_url: url, failure_message: failure } = await heygen.read(id);
    if (typeof url !== 'string') throw new Error(typeof failure === 'string' ? failure : 'no video');
    const path = join(folder, `${mode}.mp4`);
    await writeFile(path, Buffer.from(await (await fetch(url)).arrayBuffer()));
    return path;
  }

  /** PSNR of an area against the clip, in dB. */
  async function similarity(path: string, area: string): Promise<number> {
    const filter = `[0:v]${area}[a];[1:v]${area}[b];[a][b]psnr`;
    const inputs = ['-i', join(folder, 'clip.mp4'), '-i', path];
    const { stderr } = await run('ffmpeg', [
      '-nostdin',
      '-hide_banner',
      ...inputs,
      '-lavfi',
      filter,
      '-f',
      'null',
      '-',
    ]);
    return Number(/average:([\d.]+|inf)/.exec(stderr)?.[1]?.replace('inf', '99'));
  }

  /** Time at which the sound begins, in seconds. */
  async function soundStart(path: string): Promise<number> {
    const filter = 'silencedetect=noise=-35dB:d=0.02';
    const { stderr } = await run('ffmpeg', ['-nostdin', '-hide_banner', '-i', path, '-af', filter, '-f', 'null', '-']);
    const [, startS = '1', endS = '0'] = /silence_start: ([\d.]+)[^]*?silence_end: ([\d.]+)/.exec(stderr) ?? [];
    return Number(startS) < 0.05 ? Number(endS) : 0;
  }

  it('The mouth "old" keeps the lips of the clip, and "moving" draws new ones in the same picture.', async () => {
    const [old, moving] = [await makeVideo('old'), await makeVideo('moving')];
    expect(await similarity(old, mouth)).toBeGreaterThan(34);
    expect(await similarity(moving, mouth)).toBeLessThan(30);
    expect(await similarity(moving, wall)).toBeGreaterThan(36);
  });

  it('The mouth "shifted" delays the sound by 320 ms.', async () => {
    const [moving, shifted] = [await makeVideo('moving'), await makeVideo('shifted')];
    expect((await soundStart(shifted)) - (await soundStart(moving))).toBeCloseTo(0.32, 1);
    expect(await similarity(shifted, mouth)).toBeLessThan(30);
  });

  it('The mouth "frozen" shows one picture.', async () => {
    const path = await makeVideo('frozen');
    const output = ['-an', '-vf', 'mpdecimate', '-f', 'framemd5', '-'];
    const { stdout } = await run('ffmpeg', ['-nostdin', '-v', 'error', '-i', path, ...output]);
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toHaveLength(1);
  });

  it('A job keeps the mouth of its creation when the setting changes while it is pending.', async () => {
    const { control } = heygen.standin;
    control.changeSettings({ mouth: 'old', pace: byReads });
    const id = await heygen.create({}, await readFile(join(folder, 'blank.mp4')), speech);
    control.changeSettings({ mouth: 'moving' });
    const readStatus = async () => (await heygen.read(id))['status'];
    await expect.poll(readStatus, { timeout: 60_000 }).toMatch(/completed|failed/);
    expect(await readStatus()).toBe('completed');
    control.changeSettings({ pace: atOnce });
  });

  it('A job with moving lips fails without a face, and its process ends when the job is deleted.', async () => {
    await expect(makeVideo('moving', await readFile(join(folder, 'blank.mp4')))).rejects.toThrow(
      failureMessages.no_face,
    );
    const id = await heygen.create({}, clip, speech);
    expect(await heygen.data(heygen.call('DELETE', `/v3/lipsyncs/${id}`))).toEqual({ id });
  });
});
