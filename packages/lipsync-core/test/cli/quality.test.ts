import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { qualityViewSchema } from '../../src/contract/index.ts';
import { ReportFile } from '../../src/cli/report-file.ts';
import { qualityOf, testTrace } from '../../src/testing/test-quality.ts';
import { getLipsyncService } from '../../src/index.ts';
import { makeMedia, makeSpeech, x264 } from '../media/make-media.ts';
import { nameOfSource } from '../../src/service/parse-input.ts';
import { runCli } from './run-cli.ts';

/** Each measurement starts a process that loads models. */
const slow = { timeout: 180_000 } as const;
const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
let folder: string;
/** Two seconds of the sample with its own sound. */
let video: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-quality-'));
  video = join(folder, 'video.mp4');
  const cut = ['-nostdin', '-v', 'error', '-t', '2', '-i', join(samples, 'presenter.mp4'), '-vf', 'scale=480:-2'];
  await promisify(execFile)('ffmpeg', [...cut, ...x264, video]);
  vi.stubEnv('LIPSYNC_DATA_DIR', join(folder, 'data'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

function linesOf(stdout: string): readonly Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** The error that quality --json reports for a file. */
async function errorOf(path: string): Promise<Record<string, unknown>> {
  const { exitCode, stdout } = await runCli('quality', path, '--json');
  const [line = {}, ...more] = linesOf(stdout);
  expect([exitCode, line['file'], line['quality'], more]).toEqual([1, path, null, []]);
  return { ...(typeof line['error'] === 'object' ? line['error'] : {}) };
}

describe('quality', slow, () => {
  it('quality --json prints one line per video, measures the others after a missing one, and leaves no work file.', async () => {
    const missing = join(folder, 'missing.mp4');
    const short = await makeMedia('-t', '1', '-i', video, '-c', 'copy', join(folder, 'short.mp4'));
    const bars = await makeMedia('-f', 'lavfi', '-i', 'testsrc2=d=1:s=160x120', ...x264, join(folder, 'bars.mp4'));
    const { exitCode, stdout, stderr } = await runCli('quality', missing, video, short, bars, '--json');
    for (const path of [video, short, bars]) expect(stderr).toMatch(new RegExp(`^${basename(path)} · \\d+% `, 'm'));
    expect(exitCode).toBe(1);
    const lines = linesOf(stdout);
    expect(lines.map(({ file }) => file)).toEqual([missing, video, short, bars]);
    expect(lines[0]).toMatchObject({ quality: null, error: { code: 'not_found', retryable: false } });
    expect(Object.keys(lines[1] ?? {})).toEqual(['file', 'quality']);
    const [whole, oneSecond, faceless] = lines.slice(1).map(({ quality }) => qualityViewSchema.parse(quality));
    expect(whole).toMatchObject({ sync_score: null, grade: 'unknown', source: null });
    expect(whole?.sync?.method).toBe('lip_audio_correlation');
    const reason = expect.stringMatching(/./);
    expect(oneSecond).toMatchObject({ grade: 'unknown', sync: { offset_ms: null, reason } });
    expect(faceless?.parts['sync_strength']).toMatchObject({ value: null, reason });
    const figures = Object.values(whole?.parts ?? {}).flatMap(({ value }) => (value === null ? [] : [String(value)]));
    expect(figures.filter((figure) => figure.length > 8)).toEqual([]);
    expect(await readdir(join(folder, 'data', 'work'))).toEqual([]);
  });

  it('quality compares with a source clip and a given speech, and writes a report page with the mouths of both.', async () => {
    const report = join(folder, 'report.html');
    const made = ['--source', video, '--audio', join(samples, 'speech.wav')];
    const { exitCode, stdout, stderr } = await runCli('quality', video, ...made, '--report', report);
    expect(exitCode).toBe(0);
    expect(stderr).toContain(`Report: ${report}\n`);
    expect(stdout).toContain(`${video} · 2.0 s\n`);
    expect(stdout).toContain('Sound and lips');
    expect(stdout).not.toContain('No source clip was given.');
    const page = await readFile(report, 'utf8');
    expect(page).toContain('alt="Mouth at 0.0 s"');
    expect(page).toContain('alt="Source at 0.0 s"');
    expect(page).not.toMatch(/<script|https?:/);
    expect((await readdir(folder)).filter((name) => name.includes('.part'))).toEqual([]);
  });

  it('quality --audio-track is refused without a speech file, and with the list of its tracks if it has no such one.', async () => {
    const speech = join(samples, 'speech.wav');
    const refuse = async (...flags: readonly string[]): Promise<unknown> => {
      const { exitCode, stdout } = await runCli('quality', video, '--audio-track', '2', ...flags, '--json');
      return [exitCode, linesOf(stdout)[0]?.['error']];
    };
    const message = (text: RegExp): object => ({ code: 'request_invalid', message: expect.stringMatching(text) });
    expect(await refuse()).toMatchObject([1, message(/Send audio, or leave audio_track out/)]);
    expect(await refuse('--audio', speech)).toMatchObject([1, message(/audio_track is 2, but .* 1 audio track/)]);
  });

  it.each([
    ['video.mp4', 'must end in .html'],
    ['folder.html', 'names a folder'],
    [join('missing', 'report.html'), 'names a folder that does not exist'],
  ])('quality --report %s is refused before a video is measured.', async (name, reason) => {
    await mkdir(join(folder, 'folder.html'), { recursive: true });
    const { exitCode, stdout, stderr } = await runCli('quality', video, '--report', join(folder, name));
    expect([exitCode, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`--report ${reason}`);
  });

  it('quality refuses a file that is not a video, a sound file, a still and a folder, each with its reason.', async () => {
    const text = join(folder, 'notes.mp4');
    await writeFile(text, 'These are notes, not a video.');
    const sound = await makeSpeech(join(folder, 'sound.wav'), 1);
    const directory = join(folder, 'folder.mp4');
    await mkdir(directory);
    expect(await errorOf(text)).toMatchObject({ code: 'clip_unusable' });
    expect(await errorOf(sound)).toMatchObject({
      code: 'clip_unusable',
      message: expect.stringMatching(/^video: The clip has no video stream\. Use a video: sound alone/),
    });
    expect(await errorOf(join(samples, 'presenter.png'))).toMatchObject({
      code: 'clip_unusable',
      message: expect.stringContaining('still image'),
    });
    expect(await errorOf(directory)).toMatchObject({ code: 'not_found' });
    expect(await errorOf('http://127.0.0.1:1/video.mp4')).toMatchObject({ code: 'url_forbidden' });
  });

  it('The query of a URL, which may be a signature, is on no page and in no output.', async () => {
    const url = 'http://127.0.0.1:1/take.mp4?X-Amz-Signature=SECRET';
    for (const args of [
      [url, url],
      [url, '--json'],
      [url, '--report', join(folder, 'empty.html')],
    ]) {
      const { stdout, stderr } = await runCli('quality', ...args);
      expect(stdout + stderr).toContain('http://127.0.0.1:1/take.mp4');
      expect(stdout + stderr).not.toContain('SECRET');
    }
    const path = join(folder, 'signed.html');
    const report = await ReportFile.open(path);
    report.add(url, { quality: qualityOf(), trace: testTrace, durationMs: 160 });
    await report.write();
    const page = await readFile(path, 'utf8');
    expect(page).toContain('<title>Quality of take.mp4</title>');
    expect(page).not.toContain('SECRET');
    expect(nameOfSource('s3://bucket/take.mp4?versionId=SECRET')).toBe('s3://bucket/take.mp4');
  });

  it('An invalid value of a flag of quality is invalid usage: nothing is measured.', async () => {
    const { exitCode, stdout } = await runCli('quality', video, '--quality-windows', 'some', '--json');
    expect(exitCode).toBe(2);
    expect(linesOf(stdout)).toMatchObject([
      { status: 'failed', errors: [{ flag: '--quality-windows', message: 'must be one of spread, all' }] },
    ]);
  });
});

describe('checkLipsyncQuality', slow, () => {
  it('It returns the quality in TypeScript spelling and reports progress.', async () => {
    const service = getLipsyncService({ dataDir: join(folder, 'program') });
    const stages = new Set<string>();
    try {
      const quality = await service.checkLipsyncQuality(video, { onProgress: ({ stage }) => stages.add(stage) });
      expect(quality).toMatchObject({ syncScore: null, grade: 'unknown', labels: [] });
      expect([...stages]).toEqual(expect.arrayContaining(['fetching', 'probing', 'scoring']));
    } finally {
      await service.close();
    }
  });

  it('It is canceled by its signal, and by the end of the service.', async () => {
    const service = getLipsyncService({ dataDir: join(folder, 'program') });
    const copy = join(folder, 'copy.mp4');
    await copyFile(video, copy);
    const controller = new AbortController();
    const canceled = service.checkLipsyncQuality(copy, {
      signal: controller.signal,
      onProgress: ({ stage }) => stage === 'tracking' && controller.abort(),
    });
    await expect(canceled).rejects.toMatchObject({ code: 'canceled' });
    const [closed] = await Promise.allSettled([service.checkLipsyncQuality(copy), service.close()]);
    expect(closed).toMatchObject({ status: 'rejected', reason: { code: 'canceled' } });
    expect(await readdir(join(folder, 'program', 'work'))).toEqual([]);
    await expect(service.checkLipsyncQuality(copy)).rejects.toMatchObject({ code: 'canceled' });
  });

  it('It refuses an unknown option and a path that is not text.', async () => {
    const service = getLipsyncService({ dataDir: join(folder, 'program') });
    try {
      const wrong = { windows: 'all' } as object;
      await expect(service.checkLipsyncQuality(video, wrong)).rejects.toMatchObject({ code: 'request_invalid' });
      await expect(service.checkLipsyncQuality('')).rejects.toMatchObject({ code: 'request_invalid' });
    } finally {
      await service.close();
    }
  });
});
