import { describe, expect, it } from 'vitest';
import { failureMessages } from '../src/index.ts';
import { atOnce, byReads, cornerColor, probeBytes, useStandin } from './standin-fixture.ts';

const heygen = useStandin();

describe('jobs', () => {
  it('Reads move a job from pending through running to completed.', async () => {
    heygen.standin.control.changeSettings({ pace: byReads });
    const id = await heygen.create({ callback_id: 'job-7', title: 'a title' });
    const reads = [await heygen.read(id), await heygen.read(id), await heygen.read(id)];
    heygen.standin.control.changeSettings({ pace: atOnce });
    expect(reads.map(({ status }) => status)).toEqual(['pending', 'running', 'completed']);
    expect(reads[2]).toMatchObject({
      id,
      title: 'a title',
      callback_id: 'job-7',
      duration: 1.7,
      created_at: expect.any(Number),
      video_url: expect.any(String),
    });
  });

  it('The clock moves a job to completed, and it is charged without any read.', async () => {
    const { control } = heygen.standin;
    control.changeSettings({ pace: { by: 'clock', pendingMs: 1_000, runningMs: 2_000 }, timescale: 20 });
    const id = await heygen.create();
    expect(await heygen.read(id)).toMatchObject({ status: 'pending' });
    await expect
      .poll(() => control.wallet().charges.some(({ lipsyncId }) => lipsyncId === id), { timeout: 10_000 })
      .toBe(true);
    expect(await heygen.read(id)).toMatchObject({ status: 'completed' });
    control.changeSettings({ pace: atOnce, timescale: 1 });
  });

  it('A completed job is a playable video with the duration of the speech and a visible marker.', async () => {
    const { url } = await heygen.finished();
    const response = await fetch(url);
    expect(response.headers.get('Content-Type')).toBe('video/mp4');
    const bytes = await response.arrayBuffer();
    const { streams, format } = await probeBytes(bytes);
    expect(streams.map(({ codec_name }) => codec_name)).toEqual(['h264', 'aac']);
    expect(streams[0]).toMatchObject({ width: 160, height: 120 });
    expect(format.duration).toBeCloseTo(1.7, 1);
    const [red = 0, green = 0, blue = 0] = await cornerColor(bytes);
    expect(Math.min(red, blue) - green).toBeGreaterThan(100);
  });

  it('The output is as long as the clip without a dynamic duration.', async () => {
    expect(await heygen.read(await heygen.create({ enable_dynamic_duration: false }))).toMatchObject({ duration: 1.6 });
  });

  it('A job with a silent clip fails.', async () => {
    const id = await heygen.create({}, heygen.media.silentClip);
    expect(await heygen.read(id)).toMatchObject({ status: 'failed', failure_message: failureMessages.audio_missing });
  });

  it('A job whose durations differ by more than 15 % fails.', async () => {
    const id = await heygen.create({}, heygen.media.clip, heygen.media.longSpeech);
    expect(await heygen.read(id)).toMatchObject({
      status: 'failed',
      failure_message: failureMessages.duration_mismatch,
    });
  });

  it('Missing values alternate between null and absent from job to job.', async () => {
    const keys = async (): Promise<string[]> => Object.keys(await heygen.read(await heygen.create()));
    const counts = [(await keys()).length, (await keys()).length].sort((a, b) => a - b);
    expect(counts).toEqual([5, 9]);
  });

  it('A deleted job stops, is unknown and is not charged.', async () => {
    const { control } = heygen.standin;
    control.addFaults({ match: { route: 'create', title: 'stuck' }, fault: { kind: 'stick' } });
    const id = await heygen.create({ title: 'stuck' });
    const before = control.operations().runningNow;
    expect(await heygen.data(heygen.call('DELETE', `/v3/lipsyncs/${id}`))).toEqual({ id });
    expect(control.operations().runningNow).toBe(before - 1);
    expect((await heygen.call('GET', `/v3/lipsyncs/${id}`)).status).toBe(404);
    expect((await heygen.call('DELETE', `/v3/lipsyncs/${id}`)).status).toBe(404);
    expect(control.wallet().charges.some(({ lipsyncId }) => lipsyncId === id)).toBe(false);
    expect(control.operations().operations.find(({ lipsyncId }) => lipsyncId === id)?.deletedAt).not.toBeNull();
  });
});
