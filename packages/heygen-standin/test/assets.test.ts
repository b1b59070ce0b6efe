import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { useStandin } from './standin-fixture.ts';

const heygen = useStandin();

describe('a simple upload', () => {
  it('answers with what it took, typed by its bytes', async () => {
    const { clip, speech } = heygen.media;
    expect(await heygen.data(heygen.postFile(clip, 'liar.txt'))).toEqual({
      asset_id: expect.any(String),
      url: expect.any(String),
      mime_type: 'video/mp4',
      size_bytes: clip.length,
    });
    expect(await heygen.data(heygen.postFile(speech, 'speech.wav'))).toMatchObject({ mime_type: 'audio/wav' });
  });

  it('can be fetched back by its signed link', async () => {
    const { url } = await heygen.data(heygen.postFile(heygen.media.speech, 'speech.wav'));
    expect(Buffer.from(await (await fetch(String(url))).arrayBuffer())).toEqual(heygen.media.speech);
  });

  it('refuses types that HeyGen does not list', async () => {
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
  ] as const)('above the limit is answered %i, as is set', async (oversizeStatus, code) => {
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

  it('refuses a form without a file', async () => {
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

describe('an asset', () => {
  it('is read under its name and with a link, and is gone for reads and creates once it is deleted', async () => {
    const id = await heygen.upload(heygen.media.speech);
    const read = () => heygen.call('GET', `/v3/assets/${id}`);
    const told = await heygen.data(read());
    expect(told).toEqual({
      id,
      name: expect.any(String),
      type: 'audio',
      owner: expect.any(String),
      space_id: null,
      uploaded_at: expect.any(Number),
      folder_id: null,
      url: expect.any(String),
    });
    expect(Buffer.from(await (await fetch(String(told['url']))).arrayBuffer())).toEqual(heygen.media.speech);
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

  it('whose upload waits is not ready to be read, and can be deleted', async () => {
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

describe('a direct upload', () => {
  const promise = (bytes: Buffer): object => ({
    filename: 'clip.mp4',
    content_type: 'video/mp4',
    size_bytes: bytes.length,
    checksum_sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  const begin = async (bytes: Buffer) => {
    const answer = await heygen.data(heygen.call('POST', '/v3/assets/direct-uploads', promise(bytes)));
    return {
      id: String(answer['asset_id']),
      url: String(answer['upload_url']),
      headers: answer['upload_headers'] as Record<string, string>,
      answer,
    };
  };
  const put = (url: string, headers: Record<string, string>, bytes: Buffer): Promise<Response> =>
    fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) });

  it('takes the bytes, is found after one conflict, and can then be used', async () => {
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

  it('cannot be used before it is completed', async () => {
    const { id } = await begin(heygen.media.clip);
    const body = { video: { type: 'asset_id', asset_id: id }, audio: { type: 'asset_id', asset_id: id } };
    const response = await heygen.call('POST', '/v3/lipsyncs', body);
    expect([response.status, (await heygen.error(response))['code']]).toEqual([409, 'resource_not_ready']);
  });

  it('is refused with the key, which is noted as a leak, and with any header that was not signed', async () => {
    const { clip } = heygen.media;
    const { url, headers } = await begin(clip);
    expect((await put(url, { ...headers, 'X-Api-Key': heygen.standin.apiKey }, clip)).status).toBe(403);
    expect(heygen.standin.control.leaks().map(({ route }) => route)).toEqual(['put']);
    expect((await put(url, { ...headers, 'x-amz-acl': 'private' }, clip)).status).toBe(403);
    expect((await put(url, { 'Content-Type': 'video/mp4' }, clip)).status).toBe(403);
    expect((await put(url.replace(/signature=../, 'signature=00'), headers, clip)).status).toBe(403);
  });

  it('is refused with other bytes than were promised', async () => {
    const { clip, speech } = heygen.media;
    const { url, headers } = await begin(clip);
    expect((await put(url, headers, speech)).status).toBe(400);
    expect((await put(url, headers, clip.subarray(1))).status).toBe(400);
    expect((await put(url, headers, Buffer.from(clip).fill(0, 100, 101))).status).toBe(400);
  });
});
