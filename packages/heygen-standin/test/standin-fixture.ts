import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { z } from 'zod';
import { startHeygenStandin, type HeygenStandin, type HeygenStandinOptions } from '../src/index.ts';

const run = promisify(execFile);

export interface TestMedia {
  /** 1.6 s of video, 160 x 120, with sound. */
  readonly clip: Buffer;
  readonly silentClip: Buffer;
  /** 1.7 s. */
  readonly speech: Buffer;
  /** 3 s: almost twice as long as the clip. */
  readonly longSpeech: Buffer;
}

/** The first read returns pending, the second running, the third completed. */
export const byReads = { by: 'reads', pendingReads: 1, runningReads: 1 } as const;
export const atOnce = { by: 'reads', pendingReads: 0, runningReads: 0 } as const;

const answerSchema = z.object({
  data: z.record(z.string(), z.unknown()).optional(),
  error: z.record(z.string(), z.unknown()).optional(),
});

/** Starts a stand-in for the tests of one file and returns helpers that call it. */
export function useStandin(options: HeygenStandinOptions = {}) {
  let standin: HeygenStandin;
  let media: TestMedia;
  beforeAll(async () => {
    media = await makeMedia();
    standin = await startHeygenStandin({ settings: { pace: atOnce, mouth: 'old' }, ...options });
  });
  afterAll(async () => standin.close());

  const call = (
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> => {
    const json = body === undefined ? {} : { 'Content-Type': 'application/json' };
    return fetch(`${standin.url}${path}`, {
      method,
      headers: { 'X-Api-Key': standin.apiKey, ...json, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  const data = async (response: Response | Promise<Response>): Promise<Record<string, unknown>> => {
    const { data: value, error } = answerSchema.parse(await (await response).json());
    if (value === undefined) throw new Error(`the response has no data: ${JSON.stringify(error)}`);
    return value;
  };
  const error = async (response: Response | Promise<Response>): Promise<Record<string, unknown>> =>
    answerSchema.parse(await (await response).json()).error ?? {};
  const postFile = (bytes: Buffer, name: string): Promise<Response> => {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(bytes)]), name);
    return fetch(`${standin.url}/v3/assets`, { method: 'POST', headers: { 'X-Api-Key': standin.apiKey }, body: form });
  };
  const upload = async (bytes: Buffer, name = 'file'): Promise<string> =>
    String((await data(postFile(bytes, name)))['asset_id']);
  const body = async (fields: object = {}, video = media.clip, audio = media.speech): Promise<object> => ({
    video: { type: 'asset_id', asset_id: await upload(video) },
    audio: { type: 'asset_id', asset_id: await upload(audio) },
    ...fields,
  });
  return {
    get standin() {
      return standin;
    },
    get media() {
      return media;
    },
    call,
    data,
    error,
    postFile,
    upload,
    body,
    /** Creates a job and returns its id. */
    async create(fields: object = {}, video = media.clip, audio = media.speech) {
      return String((await data(call('POST', '/v3/lipsyncs', await body(fields, video, audio))))['lipsync_id']);
    },
    read: (id: string) => data(call('GET', `/v3/lipsyncs/${id}`)),
    /** Creates a job, completes it and returns its link. */
    async finished() {
      const id = await this.create();
      return { id, url: String((await this.read(id))['video_url']) };
    },
  };
}

async function makeMedia(): Promise<TestMedia> {
  const folder = await mkdtemp(join(tmpdir(), 'standin-media-'));
  const video = ['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=25:duration=1.6'];
  const audio = ['-f', 'lavfi', '-i', 'sine=frequency=300:duration=1.6'];
  const encode = ['-map', '0:v', '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
  const [clipPath, silentPath] = [join(folder, 'clip.mp4'), join(folder, 'silent.mp4')];
  try {
    const withAudio = ['-map', '1:a', '-c:a', 'aac', clipPath];
    await run('ffmpeg', ['-v', 'error', ...video, ...audio, ...encode, ...withAudio, ...encode, silentPath]);
    return {
      clip: await readFile(clipPath),
      silentClip: await readFile(silentPath),
      speech: toneWav(1.7),
      longSpeech: toneWav(3),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A tone of 300 Hz as 16-bit mono WAV. */
function toneWav(seconds: number): Buffer {
  const rate = 16_000;
  const samples = Int16Array.from(
    { length: seconds * rate },
    (_value, index) => 8_000 * Math.sin((2 * Math.PI * 300 * index) / rate),
  );
  const header = Buffer.alloc(44);
  header.write('RIFF');
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(2 * rate, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer)]);
}

const probeSchema = z.object({
  streams: z.array(z.object({ codec_name: z.string(), width: z.number().optional(), height: z.number().optional() })),
  format: z.object({ duration: z.coerce.number() }),
});

/** Probes a file. Throws unless it decodes to its end without an error. */
export async function probeBytes(bytes: ArrayBuffer): Promise<z.output<typeof probeSchema>> {
  return withFile(bytes, async (path) => {
    await run('ffmpeg', ['-v', 'error', '-xerror', '-i', path, '-f', 'null', '-']);
    const { stdout } = await run('ffprobe', ['-v', 'error', '-of', 'json', '-show_format', '-show_streams', path]);
    return probeSchema.parse(JSON.parse(stdout));
  });
}

/** The RGB values around pixel 10, 10 of the first frame. */
export async function cornerColor(bytes: ArrayBuffer): Promise<readonly number[]> {
  return withFile(bytes, async (path) => {
    const output = ['-frames:v', '1', '-vf', 'crop=2:2:10:10,format=rgb24', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'];
    const { stdout } = await run('ffmpeg', ['-v', 'error', '-i', path, ...output], { encoding: 'buffer' });
    return [...stdout];
  });
}

async function withFile<T>(bytes: ArrayBuffer, use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'standin-probe-'));
  try {
    const path = join(folder, 'video.mp4');
    await writeFile(path, Buffer.from(bytes));
    return await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}
