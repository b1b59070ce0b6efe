import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { useStandin } from './standin-fixture.ts';

const heygen = useStandin();

describe('simple uploads', () => {
  it('A simple upload returns the size and the type that its bytes show.', async () => {
    const { clip, speech } = heygen.media;
    expect(await heygen.data(heygen.postFile(clip, 'wrong-extension.txt'))).toEqual({
      asset_id: expect.any(String),
      url: expect.any(String),
      mime_type: 'video/mp4',
      size_bytes: clip.length,
    });
    expect(await heygen.data(heygen.postFile(speech, 'speech.wav'))).toMatchObject({ mime_type: 'audio/wav' });
  });

  it('An uploaded file can be downloaded by its signed link.', async () => {
    const { url } = await heygen.data(heygen.postFile(heygen.media.speech, 'speech.wav'));
    expect(Buffer.from(await (await fetch(String(url))).arrayBuffer())).toEqual(heygen.media.speech);
  });

  it('A file type that HeyGen does not support is refused.', async () => {
    const response = await heygen.postFile(Buffer.from('OggS and more'), 'sound.ogg');
    expect(response.status).toBe(400);
    expect(await heygen.error(response)).toMatchObject({
      code: 'invalid_parameter',
      param: 'file',
      message: expect.stringMatching(/not supported/),
    });
  });

  it.each([
    [400, 'invalid_parameter'],
    [413, 'payload_too_large'],
  ] as const)('A simple upload above the limit gets the configured status %i.', async (oversizeStatus, code) => {
    const { control } = heygen.standin;
    const { length } = heygen.media.clip;
    control.changeSettings({ oversizeStatus, simpleUploadMaxBytes: length });
    expect((await heygen.postFile(heygen.media.clip, 'clip.mp4')).status).toBe(200);
    control.changeSettings({ simpleUploadMaxBytes: length - 1 });
    const response = await heygen.postFile(heygen.media.clip, 'clip.mp4');
    control.changeSettings({ simpleUploadMaxBytes: 32 * 1024 ** 2 });
    expect(response.status).toBe(oversizeStatus);
    expect(await heygen.error(response)).toMatchObject({ code });
  });

  it('A form without a file is refused.', async () => {
    const form = new FormData();
    form.append('other', 'text');
    const response = await fetch(`${heygen.standin.url}/v3/assets`, {
      method: 'POST',
      headers: { 'X-Api-Key': heygen.standin.apiKey },
      body: form,
    });
    expect(await heygen.error(response)).toMatchObject({ code: 'invalid_parameter', param: 'file' });
  });
});

describe('assets', () => {
  it('An asset can be read, and is unknown to reads and creates after its deletion.', async () => {
    const id = await heygen.upload(heygen.media.speech);
    const read = () => heygen.call('GET', `/v3/assets/${id}`);
    const asset = await heygen.data(read());
    expect(asset).toEqual({
      id,
      name: expect.any(String),
      type: 'audio',
      owner: expect.any(String),
      space_id: null,
      uploaded_at: expect.any(Number),
      folder_id: null,
      url: expect.any(String),
    });
    expect(Buffer.from(await (await fetch(String(asset['url']))).arrayBuffer())).toEqual(heygen.media.speech);
    expect(await heygen.data(heygen.call('DELETE', `/v3/assets/${id}`))).toEqual({ id });
    const reference = { type: 'asset_id', asset_id: id };
    const refused = [
      await read(),
      await heygen.call('DELETE', `/v3/assets/${id}`),
      await heygen.call('POST', '/v3/lipsyncs', { video: reference, audio: reference }),
    ];
    for (const response of refused)
      expect([response.status, (await heygen.error(response))['code']]).toEqual([404, 'asset_not_found']);
  });

  it('An asset with a pending upload cannot be read but can be deleted.', async () => {
    const { asset_id: id } = await heygen.data(
      heygen.call('POST', '/v3/assets/direct-uploads', {
        filename: 'clip.mp4',
        content_type: 'video/mp4',
        size_bytes: 9,
      }),
    );
    const early = await heygen.call('GET', `/v3/assets/${String(id)}`);
    expect([early.status, (await heygen.error(early))['code']]).toEqual([409, 'resource_not_ready']);
    expect((await heygen.call('DELETE', `/v3/assets/${String(id)}`)).status).toBe(200);
    expect((await heygen.call('POST', `/v3/assets/${String(id)}/complete`, {})).status).toBe(404);
  });
});

describe('direct uploads', () => {
  const announcement = (bytes: Buffer): object => ({
    filename: 'clip.mp4',
    content_type: 'video/mp4',
    size_bytes: bytes.length,
    checksum_sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  const begin = async (bytes: Buffer) => {
    const answer = await heygen.data(heygen.call('POST', '/v3/assets/direct-uploads', announcement(bytes)));
    return {
      id: String(answer['asset_id']),
      url: String(answer['upload_url']),
      headers: answer['upload_headers'] as Record<string, string>,
      answer,
    };
  };
  const put = (url: string, headers: Record<string, string>, bytes: Buffer): Promise<Response> =>
    fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) });

  it('A direct upload is completed after one conflict and can then be used.', async () => {
    const { clip, speech } = heygen.media;
    const { id, url, headers, answer } = await begin(clip);
    expect(answer).toMatchObject({
      status: 'pending_upload',
      expires_in_seconds: expect.any(Number),
      max_bytes: expect.any(Number),
    });
    expect((await put(url, headers, clip)).status).toBe(200);
    const first = await heygen.call('POST', `/v3/assets/${id}/complete`, {});
    expect([first.status, (await heygen.error(first))['code']]).toEqual([409, 'resource_not_ready']);
    const done = { asset_id: id, mime_type: 'video/mp4', size_bytes: clip.length, status: 'processing' };
    expect(await heygen.data(heygen.call('POST', `/v3/assets/${id}/complete`, {}))).toMatchObject(done);
    expect(await heygen.data(heygen.call('POST', `/v3/assets/${id}/complete`, {}))).toMatchObject(done);
    const body = {
      video: { type: 'asset_id', asset_id: id },
      audio: { type: 'asset_id', asset_id: await heygen.upload(speech) },
    };
    expect((await heygen.call('POST', '/v3/lipsyncs', body)).status).toBe(200);
  });

  it('A direct upload cannot be used before its completion.', async () => {
    const { id } = await begin(heygen.media.clip);
    const body = { video: { type: 'asset_id', asset_id: id }, audio: { type: 'asset_id', asset_id: id } };
    const response = await heygen.call('POST', '/v3/lipsyncs', body);
    expect([response.status, (await heygen.error(response))['code']]).toEqual([409, 'resource_not_ready']);
  });

  it('A direct upload with the key or an unsigned header is refused, and the key is logged as a leak.', async () => {
    const { clip } = heygen.media;
    const { url, headers } = await begin(clip);
    expect((await put(url, { ...headers, 'X-Api-Key': heygen.standin.apiKey }, clip)).status).toBe(403);
    expect(heygen.standin.control.leaks().map(({ route }) => route)).toEqual(['put']);
    expect((await put(url, { ...headers, 'x-amz-acl': 'private' }, clip)).status).toBe(403);
    expect((await put(url, { 'Content-Type': 'video/mp4' }, clip)).status).toBe(403);
    expect((await put(url.replace(/signature=../, 'signature=00'), headers, clip)).status).toBe(403);
  });

  it('A direct upload with bytes other than announced is refused.', async () => {
    const { clip, speech } = heygen.media;
    const { url, headers } = await begin(clip);
    expect((await put(url, headers, speech)).status).toBe(400);
    expect((await put(url, headers, clip.subarray(1))).status).toBe(400);
    expect((await put(url, headers, Buffer.from(clip).fill(0, 100, 101))).status).toBe(400);
  });
});
