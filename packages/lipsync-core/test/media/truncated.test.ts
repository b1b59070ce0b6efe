import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { probeClip, probeSpeech } from '../../src/media/index.ts';
import { readJpegEnd } from '../../src/media/containers/still-image.ts';
import { isTruncatedFile } from '../../src/media/containers/truncated-file.ts';
import { limits, makeMedia, makeSpeech, temporaryFolder, x264 } from './make-media.ts';

async function cut(path: string, share: number): Promise<string> {
  await truncate(path, Math.floor((await stat(path)).size * share));
  return path;
}

const missingSpeech = async (path: string): Promise<string | undefined> =>
  (await probeSpeech(path, { limits })).missing;
const missingClip = async (path: string): Promise<string | undefined> => (await probeClip(path, { limits })).missing;

let madeFolder: string;
beforeAll(async () => {
  madeFolder = await mkdtemp(join(tmpdir(), 'lipsync-truncated-'));
});
afterAll(() => rm(madeFolder, { recursive: true, force: true }));

/** Extension of a file and the options of its encoder. */
type Format = readonly [extension: string, codec: readonly string[]];

/** Makes all files with one start of ffmpeg, which takes longer than the files do. Each is for one test. */
async function makeAll(source: readonly string[], formats: readonly Format[]): Promise<readonly string[]> {
  const folder = await mkdtemp(join(madeFolder, 'made-'));
  const paths = formats.map(([extension], index) => join(folder, `${index}.${extension}`));
  await makeMedia(...source, ...formats.flatMap(([, codec], index) => [...codec, paths[index] ?? '']));
  return paths;
}

const spoken = ['-f', 'lavfi', '-i', 'sine=frequency=220:duration=4:sample_rate=16000'];

describe('truncated speech', () => {
  const declaring: readonly Format[] = [
    ['wav', []],
    ['w64', []],
    ['flac', []],
    ['aiff', []],
    ['au', []],
    ['caf', ['-c:a', 'pcm_s16le']],
    ['mp3', ['-metadata', `title=${'long '.repeat(600)}`]],
    ['webm', ['-c:a', 'libopus']],
    ['mkv', ['-c:a', 'aac']],
    ['m4a', ['-movflags', '+faststart']],
  ];

  let declared: readonly string[];
  beforeAll(async () => {
    declared = await makeAll(spoken, declaring);
  });

  it.each(declaring.map(([extension], index) => [extension, index] as const))(
    'A truncated %s file is used, and what it lacks is reported.',
    async (_, index) => {
      const path = declared[index] ?? '';
      expect(await missingSpeech(path)).toBeUndefined();
      expect(await missingSpeech(await cut(path, 0.9))).toMatch(/^0\.[2-9] s that the file declares$/);
      expect(await missingSpeech(await cut(path, 0.5))).toMatch(/^[123]\.\d s that the file declares$/);
    },
  );

  const undeclaring: readonly (readonly [name: string, ...Format])[] = [
    ['an MP3 without a header frame', 'mp3', ['-write_xing', '0', '-id3v2_version', '0']],
    ['an MP3 of 22 050 Hz and variable bit rate', 'mp3', ['-write_xing', '0', '-ar', '22050', '-q:a', '5']],
    ['an MP2', 'mp2', []],
    ['an AAC stream', 'aac', []],
    ['an AC-3 stream of 44 100 Hz', 'ac3', ['-ar', '44100', '-b:a', '96k']],
    ['an AC-3 stream of 32 000 Hz', 'ac3', ['-ar', '32000']],
    ['an E-AC-3 stream', 'eac3', ['-ar', '48000']],
    ['an Ogg Vorbis file', 'ogg', ['-c:a', 'libvorbis', '-page_duration', '200000']],
    ['an Ogg Opus file', 'opus', ['-c:a', 'libopus']],
    ['a transport stream', 'ts', ['-c:a', 'aac']],
  ];
  let undeclared: readonly string[];
  beforeAll(async () => {
    undeclared = await makeAll(
      spoken,
      undeclaring.map(([, ...format]) => format),
    );
  });

  it.each(undeclaring.map(([name], index) => [name, index] as const))(
    'The truncated end of %s, which declares no duration, is reported.',
    async (_, index) => {
      const path = undeclared[index] ?? '';
      expect(await missingSpeech(path)).toBeUndefined();
      const { size } = await stat(path);
      // Not between two packets of any of these formats.
      await truncate(path, Math.floor((size * 0.9) / 188) * 188 + 50);
      expect(await missingSpeech(path)).toBe('the end of its last packet');
    },
  );

  it('Nothing is reported for an MP3 with tags at its end.', async () => {
    const path = join(await temporaryFolder(), 'speech.mp3');
    await makeSpeech(path, 1, '-write_xing', '0', '-write_id3v1', '1', '-metadata', 'title=long title');
    expect(await missingSpeech(path)).toBeUndefined();
  });

  it('Nothing is reported for a WAV file with chunks after its samples, or with a size that its writer did not know.', async () => {
    const folder = await temporaryFolder();
    const wav = await readFile(await makeSpeech(join(folder, 'plain.wav'), 1));
    const chunk = (name: string): Buffer => Buffer.concat([Buffer.from(name), Buffer.from([4, 0, 0, 0, 1, 2, 3, 4])]);
    const unknown = Buffer.from(wav);
    unknown.fill(0xff, wav.indexOf('data') + 4, wav.indexOf('data') + 8);
    const files = { list: Buffer.concat([wav, chunk('LIST')]), id3: Buffer.concat([wav, chunk('id3 ')]), unknown };
    for (const [name, bytes] of Object.entries(files)) {
      const path = join(folder, `${name}.wav`);
      await writeFile(path, bytes);
      expect(await missingSpeech(path), name).toBeUndefined();
    }
  });

  it('Nothing is reported for sound that starts later than the picture of an AVI file.', async () => {
    const path = join(await temporaryFolder(), 'clip.avi');
    const picture = ['-f', 'lavfi', '-i', 'color=s=64x64:r=25:d=3'];
    const late = ['-itsoffset', '0.7', '-f', 'lavfi', '-i', 'sine=duration=1.5'];
    await makeMedia(...picture, ...late, '-c:v', 'mpeg4', '-c:a', 'aac', path);
    expect(await missingSpeech(path)).toBeUndefined();
    expect(await missingSpeech(await cut(path, 0.8))).toBe('the end of its last packet');
  });

  it('Nothing is reported for speech from a video whose picture is longer than its sound.', async () => {
    const path = join(await temporaryFolder(), 'clip.mkv');
    const picture = ['-f', 'lavfi', '-i', 'color=s=64x64:r=25:d=3'];
    await makeMedia(...picture, '-f', 'lavfi', '-i', 'sine=duration=1', ...x264, '-c:a', 'aac', path);
    expect(await missingSpeech(path)).toBeUndefined();
  });
});

describe('truncated clips', () => {
  it.each(['mkv', 'webm', 'mp4'])('A truncated %s clip is used, and what it lacks is reported.', async (extension) => {
    const codec = extension === 'webm' ? ['-c:v', 'libvpx', '-deadline', 'realtime'] : x264;
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=25:d=4', '-g', '10'];
    const index = extension === 'mp4' ? ['-movflags', '+faststart'] : [];
    const path = await makeMedia(...source, ...codec, ...index, join(await temporaryFolder(), `clip.${extension}`));
    expect(await missingClip(path)).toBeUndefined();
    expect(await missingClip(await cut(path, 0.5))).toMatch(/^[123]\.\d s that the file declares$/);
  });

  const clips: readonly Format[] = [
    ['mp4', [...x264, '-movflags', '+faststart']],
    ['mov', [...x264, '-movflags', '+frag_keyframe+empty_moov']],
    ['mkv', ['-c:v', 'mpeg4']],
    ['avi', ['-c:v', 'mjpeg']],
    ['ts', ['-c:v', 'mpeg2video']],
    ['mpg', ['-c:v', 'mpeg1video', '-c:a', 'mp2', '-ar', '44100']],
    ['vob', ['-c:v', 'mpeg2video', '-c:a', 'mp2', '-ar', '44100']],
    ['flv', x264],
    ['webm', ['-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus', '-live', '1']],
    ['wmv', ['-c:v', 'wmv2']],
    ['ogv', ['-c:v', 'libtheora', '-c:a', 'libvorbis']],
    ['gif', []],
  ];
  let made: readonly string[];
  beforeAll(async () => {
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=30:d=2'];
    const sound = ['-f', 'lavfi', '-i', 'sine=d=2:sample_rate=44100'];
    made = await makeAll(
      [...picture, ...sound],
      clips.map(([extension, codec]) => [extension, ['-g', '10', ...codec]]),
    );
  });

  it.each(clips.map(([extension], index) => [extension, index] as const))(
    'A truncated %s clip is reported wherever it ends, and a complete one is not.',
    async (_, index) => {
      const path = made[index] ?? '';
      expect(await missingClip(path)).toBeUndefined();
      await truncate(path, (await stat(path)).size - 5);
      expect(await missingClip(path)).toBe('its end');
      expect(await missingClip(await cut(path, 0.6))).toMatch(/^its end$|^[01]\.\d s that the file declares$/);
    },
  );

  it('A clip whose picture starts late, or is shown in part, lacks nothing.', async () => {
    const folder = await temporaryFolder();
    const source = ['-itsoffset', '1.5', '-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=25:d=1'];
    for (const extension of ['mp4', 'mkv']) {
      const sound = ['-f', 'lavfi', '-i', 'sine=d=2.5'];
      const path = await makeMedia(...source, ...sound, ...x264, join(folder, `late.${extension}`));
      expect(await missingClip(path), extension).toBeUndefined();
      const part = await makeMedia('-ss', '1.7', '-i', path, '-c', 'copy', join(folder, `part.${extension}`));
      expect(await missingClip(part), `part of ${extension}`).toBeUndefined();
    }
  });

  it.each(['mkv', 'mp4', 'ts'])('A %s clip whose clock starts at 5000 s lacks nothing.', async (extension) => {
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=25:d=1', '-f', 'lavfi', '-i', 'sine=d=1'];
    const shift = ['-output_ts_offset', '5000'];
    const path = await makeMedia(
      ...source,
      ...x264,
      '-c:a',
      'aac',
      ...shift,
      join(await temporaryFolder(), `clip.${extension}`),
    );
    expect(await missingClip(path)).toBeUndefined();
    expect(await missingSpeech(path)).toBeUndefined();
  });

  it.each([
    ['wmv', '1', '2', x264],
    ['asf', '1', '2', ['-c:v', 'mpeg4', '-bf', '2']],
    ['asf', '2', '1', ['-c:v', 'mjpeg', '-packet_size', '800']],
    ['mkv', '1', '2', ['-c:v', 'mpeg4']],
    ['flv', '1', '2', x264],
  ] as const)(
    'A whole %s clip of %s s with sound of %s s lacks nothing.',
    async (extension, pictureS, soundS, codec) => {
      const folder = await temporaryFolder();
      const source = ['-f', 'lavfi', '-i', `testsrc2=s=128x96:r=25:d=${pictureS}`];
      const sound = ['-f', 'lavfi', '-i', `sine=d=${soundS}:sample_rate=44100`];
      const clip = join(folder, `clip.${extension}`);
      const path = await makeMedia(...source, ...sound, ...codec, clip);
      expect(await missingClip(path)).toBeUndefined();
      expect(await missingSpeech(path)).toBeUndefined();
      const list = join(folder, 'list.txt');
      await writeFile(list, `ffconcat version 1.0\nfile ${path}\nduration ${pictureS}\nfile ${path}\n`);
      const joined = join(folder, `joined.${extension}`);
      await makeMedia('-f', 'concat', '-safe', '0', '-i', list, '-c', 'copy', joined);
      expect(await missingClip(joined)).toBeUndefined();
      expect(await missingSpeech(joined)).toBeUndefined();
      expect(await missingClip(await cut(joined, 0.6))).toBeDefined();
      expect(await missingSpeech(joined)).toBeDefined();
    },
  );

  it('A truncated PNG is refused for that reason.', async () => {
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240', '-frames:v', '1', '-update', '1'];
    const path = await makeMedia(...source, join(await temporaryFolder(), 'clip.png'));
    expect(await missingClip(path)).toBeUndefined();
    await expect(probeClip(await cut(path, 0.6), { limits })).rejects.toMatchObject({
      code: 'clip_unusable',
      message: expect.stringMatching(/image is truncated/),
    });
  });

  it('A truncated JPEG is used, and the missing part of its picture is reported.', async () => {
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=640x480', '-frames:v', '1', '-update', '1'];
    const path = await makeMedia(...source, join(await temporaryFolder(), 'clip.jpg'));
    expect(await missingClip(path)).toBeUndefined();
    await writeFile(path, Buffer.concat([await readFile(path), Buffer.from('a trailer of the camera')]));
    expect(await missingClip(path)).toBeUndefined();
    expect(await missingClip(await cut(path, 0.5))).toBe('the lower part of the picture');
  });

  it('The end of a JPEG is found behind a thumbnail and several scans, and a thumbnail is not its end.', async () => {
    const segment = (type: number, ...content: readonly number[]): Buffer =>
      Buffer.from([0xff, type, 0, content.length + 2, ...content]);
    const thumbnail = segment(0xe1, 0xff, 0xd8, 0xff, 0xd9);
    const scan = Buffer.concat([segment(0xda, 1), Buffer.from([1, 0xff, 0, 2, 0xff, 0xd0, 3])]);
    const start = Buffer.from([0xff, 0xd8]);
    const end = Buffer.from([0xff, 0xd9]);
    const path = join(await temporaryFolder(), 'clip.jpg');
    const isTruncated = async (...parts: readonly Buffer[]): Promise<boolean> => {
      await writeFile(path, Buffer.concat(parts));
      return (await readJpegEnd(path)).isTruncated;
    };
    expect(await isTruncated(start, thumbnail, scan, segment(0xc4, 1), scan, end)).toBe(false);
    expect(await isTruncated(start, thumbnail, scan, segment(0xc4, 1), scan)).toBe(true);
    expect(await isTruncated(start, thumbnail)).toBe(true);
    expect(await isTruncated(start, Buffer.from([0xff, 0xe1, 0xff]))).toBe(true);
  });
});

it('A container whose header states an impossible size is not called truncated, and its check does not fail.', async () => {
  const path = join(await temporaryFolder(), 'damaged');
  const impossible = Buffer.concat([Buffer.from([1]), Buffer.alloc(7, 0xfe), Buffer.alloc(32)]);
  await writeFile(path, Buffer.concat([Buffer.from('1a45dfa3', 'hex'), impossible]));
  expect(await isTruncatedFile(path, 'matroska,webm')).toBe(false);
  // A box of 64 bits with size 0.
  await writeFile(path, Buffer.concat([Buffer.from('00000001', 'hex'), Buffer.from('mdat'), Buffer.alloc(64)]));
  expect(await isTruncatedFile(path, 'mov,mp4,m4a,3gp,3g2,mj2')).toBe(false);
});

it('An AVI of several parts is truncated if its last one is, and not if all are complete.', async () => {
  const path = join(await temporaryFolder(), 'long.avi');
  const part = (name: string, sizeBytes: number): Buffer => {
    const header = Buffer.from(`RIFF....${name}`);
    header.writeUInt32LE(sizeBytes + 4, 4);
    return Buffer.concat([header, Buffer.alloc(sizeBytes + (sizeBytes % 2))]);
  };
  const complete = Buffer.concat([part('AVI ', 501), part('AVIX', 300), part('AVIX', 200)]);
  await writeFile(path, complete);
  expect(await isTruncatedFile(path, 'avi')).toBe(false);
  for (const lost of [1, 150]) {
    await truncate(path, complete.length - lost);
    expect(await isTruncatedFile(path, 'avi')).toBe(true);
  }
});

it('An ASF is truncated if it ends within an object, not if its header states the size of a larger file.', async () => {
  const folder = await temporaryFolder();
  const source = ['-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=25:d=1', '-c:v', 'wmv2'];
  const path = await makeMedia(...source, join(folder, 'clip.wmv'));
  const whole = await readFile(path);
  const properties = whole.indexOf(Buffer.from('a1dcab8c47a9cf118ee400c00c205365', 'hex'));
  const larger = Buffer.from(whole);
  larger.writeBigUInt64LE(BigInt(whole.length + 50_000), properties + 40);
  const headerBytes = Number(whole.readBigUInt64LE(16));
  const dataEnd = headerBytes + Number(whole.readBigUInt64LE(headerBytes + 16));
  const isTruncated = async (bytes: Buffer): Promise<boolean> => {
    await writeFile(path, bytes);
    return isTruncatedFile(path, 'asf');
  };
  expect(await isTruncated(larger)).toBe(false);
  expect(await isTruncated(larger.subarray(0, dataEnd))).toBe(false);
  expect(await isTruncated(Buffer.concat([whole, whole]))).toBe(false);
  expect(await isTruncated(Buffer.concat([whole, Buffer.alloc(100)]))).toBe(false);
  for (const end of [headerBytes + 10, dataEnd - 1, dataEnd + 10, whole.length - 1])
    expect(await isTruncated(whole.subarray(0, end))).toBe(true);
  expect(await isTruncated(Buffer.concat([whole, whole.subarray(0, dataEnd - 1)]))).toBe(true);
  // Recorders that write to a pipe do not know the sizes.
  const piped = Buffer.from(larger);
  piped.writeUInt32LE(piped.readUInt32LE(properties + 88) | 1, properties + 88);
  expect(await isTruncated(piped.subarray(0, dataEnd - 1))).toBe(false);
});
