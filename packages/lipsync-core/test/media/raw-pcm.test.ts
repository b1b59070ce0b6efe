import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LipsyncError } from '../../src/errors/index.ts';
import { probeSpeech } from '../../src/media/index.ts';
import { limits, makeMedia, temporaryFolder } from './make-media.ts';
import { makeVoice } from './plain-wav.ts';

const voice = makeVoice();
const quiet = new Float64Array(8_000);

/** Samples without a header, after half a second of silence. */
function write(sampleBytes: number, put: (bytes: Buffer, value: number, position: number) => void, copies = 1): Buffer {
  const samples = [...quiet, ...voice];
  const bytes = Buffer.alloc(samples.length * sampleBytes * copies);
  samples.forEach((sample, index) => {
    for (let copy = 0; copy < copies; copy += 1)
      // The second channel is another sound.
      put(bytes, copy === 0 ? sample : -sample, (index * copies + copy) * sampleBytes);
  });
  return bytes;
}

async function refusal(name: string, bytes: Buffer): Promise<LipsyncError> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, bytes);
  return probeSpeech(path, { limits }).then(
    () => expect.unreachable(`${name} was accepted`),
    (error: unknown) => error as LipsyncError,
  );
}

const int16 = (bytes: Buffer, value: number, position: number): void =>
  void bytes.writeInt16LE(Math.round(value * 32_000), position);

describe('Raw PCM is refused permanently, with the command that wraps it:', () => {
  it.each<readonly [string, string, Buffer]>([
    ['speech.wav', 's16le -ar 24000 -ac 1', write(2, int16)],
    ['speech.pcm', 's16le -ar 24000 -ac 2', write(2, int16, 2)],
    ['speech.mp3', 's16le -ar 24000 -ac 1', write(2, int16)],
    ['speech.aac', 's16le -ar 24000 -ac 1', write(2, int16)],
    [
      'speech',
      's16be -ar 24000 -ac 1',
      write(2, (bytes, value, at) => void bytes.writeInt16BE(Math.round(value * 32_000), at)),
    ],
    ['speech.raw', 'f32le -ar 24000 -ac 1', write(4, (bytes, value, at) => void bytes.writeFloatLE(value, at))],
    [
      'speech.flac',
      's24le -ar 24000 -ac 2',
      write(3, (bytes, value, at) => void bytes.writeIntLE(Math.round(value * 8_000_000), at, 3), 2),
    ],
    [
      'speech.m4a',
      's32le -ar 24000 -ac 1',
      write(4, (bytes, value, at) => void bytes.writeInt32LE(Math.round(value * 2_000_000_000), at)),
    ],
    [
      'speech.ogg',
      'u8 -ar 24000 -ac 1',
      write(1, (bytes, value, at) => void bytes.writeUInt8(Math.round(128 + value * 120), at)),
    ],
  ])('%s as %s.', async (name, command, bytes) => {
    const error = await refusal(name, bytes);
    expect(error).toMatchObject({ code: 'speech_unusable', policy: { retryable: false } });
    expect(error.message).toContain('raw PCM');
    expect(error.message).toContain(`ffmpeg -f ${command} -i speech.pcm speech.wav`);
  });

  it('two equal channels as two.', async () => {
    const mono = write(2, int16);
    const both = Buffer.alloc(mono.length * 2);
    for (let at = 0; at < mono.length; at += 2)
      for (const copy of [0, 2]) both.writeInt16LE(mono.readInt16LE(at), at * 2 + copy);
    expect((await refusal('speech.wav', both)).message).toContain('-f s16le -ar 24000 -ac 2');
  });

  it('µ-law of a telephone as mulaw.', async () => {
    const folder = await temporaryFolder();
    const source = ['-f', 'lavfi', '-i', 'sine=frequency=200:sample_rate=8000:duration=1'];
    const path = await makeMedia(...source, '-f', 'mulaw', join(folder, 'call.raw'));
    await expect(probeSpeech(path, { limits })).rejects.toThrow('ffmpeg -f mulaw');
  });
});

it.each([
  ['Random data', 'speech.wav', randomBytes(60_000)],
  ['Zeros', 'speech.mp3', Buffer.alloc(60_000)],
  [
    'Speech in an unknown container',
    'speech.tak',
    Buffer.concat([
      Buffer.from('tBaK'),
      write(1, (bytes, value, at) => void bytes.writeUInt8(128 + Math.round(value * 100), at)),
    ]),
  ],
  ['A web page', 'speech.wav', Buffer.from('<html><p>Nicht gefunden: Größe</p></html>\n'.repeat(900))],
])('%s are not taken for PCM.', async (_, name, bytes) => {
  const error = await refusal(name, bytes);
  expect(error.code).toBe('speech_unusable');
  expect(error.message).not.toContain('PCM');
});

it('An MP3 that begins within a frame is not taken for PCM.', async () => {
  const folder = await temporaryFolder();
  const path = await makeMedia('-f', 'lavfi', '-i', 'sine=d=2', '-b:a', '64k', join(folder, 'part.mp3'));
  await writeFile(path, (await readFile(path)).subarray(700));
  await expect(probeSpeech(path, { limits })).resolves.toMatchObject({ codec: 'mp3' });
});

it.each([
  ['wv', 'wavpack', []],
  ['tta', 'tta', []],
  ['dts', 'dts', ['-c:a', 'dca', '-strict', '-2']],
  ['thd', 'truehd', ['-strict', '-2']],
  ['latm', 'aac_latm', ['-c:a', 'aac']],
])('Speech in a file of the type %s is used, and not taken for PCM.', async (extension, codec, encoding) => {
  const path = join(await temporaryFolder(), `speech.${extension}`);
  await makeMedia('-f', 'lavfi', '-i', 'sine=d=1:sample_rate=48000', ...encoding, path);
  const { durationMs, ...facts } = await probeSpeech(path, { limits });
  expect(facts).toMatchObject({ codec });
  expect(Math.abs(durationMs - 1_000)).toBeLessThan(60);
});
