import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { LipsyncError, toDisplayName, type Logger } from '@lipsync/core/host';
import { json, startApi, statusOf, type RunningApi } from './running-api.ts';

const video = '0123456789abcdefghij';
let api: RunningApi;
let path: string;

/** Creates the record directly, because fetch escapes some file names in forms. */
async function completedJob(clipName = 'clip.mov'): Promise<string> {
  const id = await api.recordJob({ video: { kind: 'artifact', key: 'inputs/0', name: clipName } });
  await api.complete(id, video);
  return `/lipsync/${id}/output`;
}

function get(headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  return api.fetch(path, { method, headers });
}

beforeAll(async () => {
  api = await startApi();
  path = await completedJob();
});
afterAll(() => api.close());

describe('output of a completed job', () => {
  it('An output that was deleted because of its age is 410, and the job has no URL of it.', async () => {
    const gone = await completedJob();
    const id = gone.split('/')[2] ?? '';
    await api.store.append(id, { type: 'files_deleted', files: 'output', atMs: Date.parse('2026-11-21T08:00:00Z') });
    const response = await api.fetch(gone);
    expect(response.status).toBe(410);
    expect(await json(response)).toMatchObject({ code: 'output_gone', retryable: false });
    expect(await json(await api.fetch(`/lipsync/${id}`))).toMatchObject({
      status: 'completed',
      output_url: null,
      output_deleted_at: '2026-11-21T08:00:00.000Z',
      inputs_deleted_at: null,
    });
  });

  it('GET of an output returns the complete video with its type, length and name.', async () => {
    const response = await get();
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(video);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': '20',
      'accept-ranges': 'bytes',
      'content-disposition': 'inline; filename=clip-lipsync.mp4',
    });
  });

  it('A download that the store breaks off is cut and logged.', async () => {
    const error = vi.fn<Logger['error']>();
    const ignore = (): void => undefined;
    const logged = await startApi({ logger: { debug: ignore, info: ignore, warn: ignore, error } });
    try {
      const id = await logged.recordJob({});
      await logged.complete(id, video);
      const corrupted = new LipsyncError('store_corrupted', 'Other bytes arrived.');
      vi.spyOn(logged.artifacts, 'read').mockImplementation(async () => {
        const stream = new Readable({ read: () => setImmediate(() => stream.destroy(corrupted)) });
        return stream;
      });
      await expect(logged.fetch(`/lipsync/${id}/output`).then((response) => response.text())).rejects.toThrow();
      await vi.waitFor(() =>
        expect(error).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ error: corrupted }), 'request failed'),
      );
      expect((await logged.fetch(`/lipsync/${id}`)).status).toBe(200);
    } finally {
      await logged.close();
    }
  });

  it('A completed job has the URL of its output.', async () => {
    const job = await json(await api.fetch(path.replace('/output', '')));
    expect(job).toMatchObject({ status: 'completed', progress: 100, output_url: path });
  });

  it.each([
    ['bytes=0-4', '01234', 'bytes 0-4/20'],
    ['bytes=15-', 'fghij', 'bytes 15-19/20'],
    ['bytes=-3', 'hij', 'bytes 17-19/20'],
    ['bytes=-500', video, 'bytes 0-19/20'],
    ['bytes=18-500', 'ij', 'bytes 18-19/20'],
    ['bytes=19-19', 'j', 'bytes 19-19/20'],
    ['bytes=0-1,2-3', '0123', 'bytes 0-3/20'],
  ])('The range %s is answered with 206 and %j.', async (range, text, contentRange) => {
    const response = await get({ Range: range });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(contentRange);
    expect(response.headers.get('content-length')).toBe(String(text.length));
    expect(await response.text()).toBe(text);
  });

  it.each(['bytes=20-', 'bytes=500-600', 'bytes=-0'])(
    'The unsatisfiable range %s is answered with 416 and the length.',
    async (range) => {
      const response = await get({ Range: range });
      expect(response.status).toBe(416);
      expect(response.headers.get('content-range')).toBe('bytes */20');
      expect((await json(response)).code).toBe('request_invalid');
    },
  );

  it.each(['bytes', 'bytes=', 'frames=0-4', 'bytes=0-1,10-11'])(
    'The unsupported range %j is answered with the complete video.',
    async (range) => {
      const response = await get({ Range: range });
      expect(response.status).toBe(200);
      expect(await response.text()).toBe(video);
    },
  );

  it('HEAD of an output returns only headers.', async () => {
    const response = await get({ Range: 'bytes=0-4' }, 'HEAD');
    expect(response.status).toBe(206);
    expect(response.headers.get('content-length')).toBe('5');
    expect(await response.text()).toBe('');
  });

  it('A range is used only if If-Range matches the video.', async () => {
    const etag = (await get()).headers.get('etag') ?? '';
    expect((await get({ Range: 'bytes=0-4', 'If-Range': etag })).status).toBe(206);
    expect((await get({ Range: 'bytes=0-4', 'If-Range': '"other"' })).status).toBe(200);
    expect(await statusOf(api.url + path, { 'If-None-Match': etag })).toBe(304);
  });

  it.each([
    [`a"b;c=d.mp4`, `inline; filename="a\\"b;c=d-lipsync.mp4"`],
    ['x\r\nSet-Cookie: a=b.mp4', 'inline; filename="xSet-Cookie: a=b-lipsync.mp4"'],
    ['日本.mp4', `inline; filename="??-lipsync.mp4"; filename*=utf-8''%E6%97%A5%E6%9C%AC-lipsync.mp4`],
    ['../../x.mp4', 'inline; filename=x-lipsync.mp4'],
  ])('The output of a clip named %j has a safe Content-Disposition.', async (name, disposition) => {
    const response = await api.fetch(await completedJob(toDisplayName(name, 'video')));
    expect(response.headers.get('content-disposition')?.toLowerCase()).toBe(disposition.toLowerCase());
    expect(response.headers.get('set-cookie')).toBeNull();
  });

  it('An output that is no longer stored is answered with 404.', async () => {
    const gone = await completedJob();
    await api.artifacts.delete(`outputs/${gone.split('/')[2]}/output.mp4`);
    const response = await api.fetch(gone);
    expect(response.status).toBe(404);
    expect((await json(response)).detail).toContain('no longer stored');
  });
});

describe('output of a job without one', () => {
  it('The output of an unfinished job is answered with 404 and Retry-After.', async () => {
    const id = await api.recordJob();
    const response = await api.fetch(`/lipsync/${id}/output`);
    expect(response.status).toBe(404);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await json(response)).toMatchObject({
      code: 'not_found',
      detail: expect.stringContaining('not completed yet'),
    });
  });

  it('The output of a failed or canceled job is answered with 404 and the reason.', async () => {
    const failed = await api.recordJob();
    await api.store.append(failed, { type: 'run_started', atMs: 1 });
    await api.store.append(failed, {
      type: 'failed',
      run: 1,
      atMs: 2,
      code: 'clip_unusable',
      message: 'No face.',
      warnings: [],
    });
    expect((await json(await api.fetch(`/lipsync/${failed}/output`))).detail).toContain('No face.');
    const canceled = await api.recordJob();
    await api.store.append(canceled, { type: 'canceled', atMs: 2 });
    expect((await json(await api.fetch(`/lipsync/${canceled}/output`))).detail).toContain('canceled');
  });
});
