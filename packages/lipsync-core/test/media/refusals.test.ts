import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { LipsyncError, type ErrorCode } from '../../src/errors/index.ts';
import { probeClip, probeSpeech, type MediaLimits } from '../../src/media/index.ts';
import { readPacketTimes } from '../../src/media/containers/packet-times.ts';
import { limits, makeMedia, makeSpeech, temporaryFolder, x264 } from './make-media.ts';

const source = (size: string, seconds = 0.4): readonly string[] => [
  '-f',
  'lavfi',
  '-i',
  `testsrc2=s=${size}:r=25:d=${seconds}`,
];

async function refusal(probing: Promise<unknown>): Promise<{ code: ErrorCode; message: string }> {
  const error: unknown = await probing.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!LipsyncError.isInstance(error)) throw new Error('was not refused', { cause: error });
  return { code: error.code, message: error.message };
}

const clipRefusal = (path: string, within: MediaLimits = limits): Promise<{ code: ErrorCode; message: string }> =>
  refusal(probeClip(path, { limits: within }));
const speechRefusal = (path: string, within: MediaLimits = limits): Promise<{ code: ErrorCode; message: string }> =>
  refusal(probeSpeech(path, { limits: within }));
const clipUnusable = (message: RegExp): object => ({ code: 'clip_unusable', message: expect.stringMatching(message) });
const speechUnusable = (message: RegExp): object => ({
  code: 'speech_unusable',
  message: expect.stringMatching(message),
});

async function cutOff(path: string, share: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.truncate(Math.floor((await stat(path)).size * share));
  await file.close();
}

describe('probeClip', () => {
  it('A clip is rejected when it does not exist or is a folder.', async () => {
    const folder = await temporaryFolder();
    expect(await clipRefusal(join(folder, 'none.mp4'))).toMatchObject({ code: 'not_found' });
    expect(await clipRefusal(folder)).toMatchObject({ code: 'not_found' });
  });

  it('A clip is rejected when it is empty or a text file.', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'empty.mp4'), '');
    await writeFile(join(folder, 'text.mp4'), 'this is no video at all\n'.repeat(50));
    expect(await clipRefusal(join(folder, 'empty.mp4'))).toMatchObject(clipUnusable(/empty/));
    expect(await clipRefusal(join(folder, 'text.mp4'))).toMatchObject(clipUnusable(/cannot be read/));
  });

  it.each([
    ['BMP', 'BM\x36\x10\0\0\0\0\0\0\x36\0'],
    ['TIFF', 'II*\0\x08\0\0\0'],
    ['TIFF', 'MM\0*\0\0\0\x08'],
    ['JPEG XL', '\xff\x0a\x41\x31'],
    ['JPEG XL', '\0\0\0\x0cJXL \r\n\x87\n'],
    ['JPEG-LS', '\xff\xd8\xff\xf7\0\x0b'],
    ['HEIF', '\0\0\0\x18ftypheic\0\0\0\0mif1heic'],
    ['HEIF', '\0\0\0\x18ftypmif1\0\0\0\0mif1heic'],
    ['AVIF', '\0\0\0\x1cftypavif\0\0\0\0avifmif1'],
    ['AVIF', '\0\0\0\x2cftypavis\0\0\0\0avifavis'],
  ])('A %s image is rejected by the name of its format.', async (name, bytes) => {
    const path = join(await temporaryFolder(), 'image.jpg');
    await writeFile(path, bytes, 'latin1');
    const message = `The clip is a ${name} image, which is not accepted. Convert it to PNG or JPEG.`;
    expect(await clipRefusal(path)).toEqual({ code: 'clip_unusable', message });
  });

  it('An animated PNG is rejected, and one with a single frame is a still image.', async () => {
    const folder = await temporaryFolder();
    const encoding = ['-c:v', 'apng', '-f', 'apng'];
    const animated = await makeMedia(...source('128x96'), ...encoding, join(folder, 'animated.png'));
    expect(await clipRefusal(animated)).toMatchObject(clipUnusable(/^Animated PNG images/));
    const single = await makeMedia(...source('128x96'), '-frames:v', '1', ...encoding, join(folder, 'single.png'));
    expect(await probeClip(single, { limits })).toMatchObject({ kind: 'still' });
  });

  it('A clip is rejected when it is truncated before its index.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(...source('128x96'), ...x264, join(folder, 'cut.mp4'));
    await cutOff(path, 0.5);
    expect(await clipRefusal(path)).toMatchObject(clipUnusable(/truncated/));
  });

  it('A clip is rejected when its index is intact and its data is noise.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(...source('128x96'), ...x264, '-movflags', '+faststart', join(folder, 'noise.mp4'));
    const bytes = await readFile(path);
    const media = bytes.indexOf('mdat') + 4;
    await writeFile(path, bytes.fill(0xa5, media));
    expect(await clipRefusal(path)).toMatchObject(clipUnusable(/cannot be decoded/));
  });

  it('A clip is rejected when it has only sound, with or without cover art.', async () => {
    const folder = await temporaryFolder();
    const cover = await makeMedia(...source('128x96'), '-frames:v', '1', '-update', '1', join(folder, 'cover.png'));
    const plain = await makeSpeech(join(folder, 'plain.m4a'), 0.5);
    const covered = await makeMedia(
      '-i',
      plain,
      '-i',
      cover,
      '-map',
      '0',
      '-map',
      '1',
      '-c:a',
      'libmp3lame',
      '-c:v',
      'copy',
      '-disposition:v:0',
      'attached_pic',
      join(folder, 'covered.mp3'),
    );
    expect(await clipRefusal(plain)).toMatchObject(clipUnusable(/no video stream/));
    expect(await clipRefusal(covered)).toMatchObject(clipUnusable(/no video stream/));
  });

  it('A PNG that is larger than ffmpeg decodes is rejected with its size.', async () => {
    const path = await makeMedia(...source('128x96'), '-frames:v', '1', join(await temporaryFolder(), 'huge.png'));
    const bytes = await readFile(path);
    bytes.writeUInt32BE(60_000, 16);
    bytes.writeUInt32BE(60_000, 20);
    bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
    await writeFile(path, bytes);
    expect(await clipRefusal(path)).toMatchObject(clipUnusable(/too large \(60000 × 60000\)/));
  });

  it('A truncated WebP is rejected as damaged, not as small.', async () => {
    const path = await makeMedia(...source('128x96'), '-frames:v', '1', join(await temporaryFolder(), 'cut.webp'));
    await cutOff(path, 0.5);
    expect(await clipRefusal(path)).toMatchObject(clipUnusable(/damaged, truncated or much too large/));
  });

  it('A clip is rejected when it is one pixel large or wider than the limit.', async () => {
    const folder = await temporaryFolder();
    const tiny = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'color=s=2x2:r=25:d=0.2,format=rgb24,crop=1:1',
      '-c:v',
      'png',
      join(folder, 'tiny.mov'),
    );
    const wide = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'color=s=16384x64:r=25:d=0.04',
      '-c:v',
      'png',
      join(folder, 'wide.mov'),
    );
    expect(await clipRefusal(tiny)).toMatchObject(clipUnusable(/too small/));
    expect(await clipRefusal(wide)).toMatchObject(clipUnusable(/too large/));
  });

  it('A clip is rejected when it is longer than the limit, and accepted at exactly the limit.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(...source('128x96', 2), ...x264, join(folder, 'long.mp4'));
    expect(await clipRefusal(path, { ...limits, maxDurationMs: 1_999 })).toMatchObject(clipUnusable(/is longer than/));
    await expect(probeClip(path, { limits: { ...limits, maxDurationMs: 2_000 } })).resolves.toMatchObject({
      durationMs: 2_000,
    });
  });

  it('A clip without a stated duration is rejected once it exceeds the limit, without reading the rest.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(
      ...source('64x64', 40),
      '-vf',
      'setpts=10*PTS',
      '-fps_mode',
      'vfr',
      ...x264,
      '-f',
      'matroska',
      '-live',
      '1',
      join(folder, 'endless.mkv'),
    );
    expect(await clipRefusal(path, { ...limits, maxDurationMs: 10_000 })).toMatchObject(clipUnusable(/is longer than/));
    const { packetCount } = await readPacketTimes(path, 0, { maxDurationMs: 10_000 });
    expect(packetCount).toBeLessThan(100);
  });

  it('A clip is rejected when it is a playlist that refers to other files.', async () => {
    const folder = await temporaryFolder();
    await makeMedia(...source('128x96'), ...x264, join(folder, 'secret.ts'));
    await writeFile(
      join(folder, 'list.m3u8'),
      '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n',
    );
    await writeFile(join(folder, 'list.mp4'), 'ffconcat version 1.0\nfile secret.ts\n');
    expect(await clipRefusal(join(folder, 'list.m3u8'))).toMatchObject(clipUnusable(/is a playlist \(hls\)/));
    expect(await clipRefusal(join(folder, 'list.mp4'))).toMatchObject(clipUnusable(/is a playlist \(concat\)/));
  });

  it.each([
    ['rm', ['-c:v', 'rv10'], 'clip.rm'],
    ['swf', ['-c:v', 'flv'], 'clip.mp4'],
    ['yuv4mpegpipe', ['-pix_fmt', 'yuv420p'], 'clip.y4m'],
  ])('A clip of the format %s is rejected for its format, not as damaged.', async (format, encoding, name) => {
    const clip = await makeMedia(...source('176x144'), ...encoding, '-f', format, join(await temporaryFolder(), name));
    expect(await clipRefusal(clip)).toEqual({
      code: 'clip_unusable',
      message: `The clip has a format that is not accepted (${format}). Convert it to MP4.`,
    });
  });

  it('Raw MJPEG is rejected with the command that gives it a rate, a photo with a second picture behind it is a still.', async () => {
    const folder = await temporaryFolder();
    const [raw, photo, still] = ['a.mjpeg', 'b.jpg', 'c.jpg'].map((name) => join(folder, name));
    await makeMedia(...source('128x96'), '-c:v', 'mjpeg', '-f', 'mjpeg', String(raw));
    await makeMedia(...source('128x96'), '-frames:v', '1', String(still));
    const picture = await readFile(String(still));
    await writeFile(String(photo), Buffer.concat([picture, picture]));
    expect(await clipRefusal(String(raw))).toMatchObject(clipUnusable(/raw MJPEG.*-framerate RATE/));
    expect(await probeClip(String(photo), { limits })).toMatchObject({ kind: 'still' });
  });
});

describe('probeSpeech', () => {
  it('Speech audio is rejected when it does not exist, is empty, or is a text file.', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'empty.wav'), '');
    await writeFile(join(folder, 'text.wav'), 'no sound here\n'.repeat(50));
    expect(await speechRefusal(join(folder, 'none.wav'))).toMatchObject({ code: 'not_found' });
    expect(await speechRefusal(join(folder, 'empty.wav'))).toMatchObject(speechUnusable(/empty/));
    expect(await speechRefusal(join(folder, 'text.wav'))).toMatchObject(speechUnusable(/cannot be read/));
  });

  it.each([
    ['g722', ['-c:a', 'g722'], 'speech.g722'],
    ['sox', [], 'speech.wav'],
  ])('Speech audio of the format %s is rejected for its format, not as damaged.', async (format, encoding, name) => {
    const speech = join(await temporaryFolder(), name);
    await makeMedia('-f', 'lavfi', '-i', 'sine=r=16000:d=1', ...encoding, '-f', format, speech);
    expect(await speechRefusal(speech)).toEqual({
      code: 'speech_unusable',
      message: `The speech audio has a format that is not accepted (${format}). Convert it to WAV.`,
    });
  });

  it('Speech audio is rejected when it has no audio stream.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(...source('128x96'), ...x264, join(folder, 'silent.mp4'));
    expect(await speechRefusal(path)).toMatchObject(speechUnusable(/no audio stream/));
  });

  it('Speech audio is rejected when it is a header without samples.', async () => {
    const folder = await temporaryFolder();
    const path = await makeSpeech(join(folder, 'speech.wav'), 0.5);
    await writeFile(path, (await readFile(path)).subarray(0, 78));
    expect((await speechRefusal(path)).code).toBe('speech_unusable');
  });

  /** A WAV file whose header is changed at a position to a 16-bit value. */
  async function makeOddWav(position: number, value: number): Promise<string> {
    const path = await makeSpeech(join(await temporaryFolder(), 'odd.wav'), 0.5);
    const bytes = await readFile(path);
    bytes.writeUInt16LE(value, position);
    await writeFile(path, bytes);
    return path;
  }

  it.each([
    ['the format tag 0x008b', 20, 0x8b],
    ['the format tag 0x9999', 20, 0x9999],
    ['0 bits per sample', 34, 0],
    ['64 channels', 22, 64],
    ['255 channels', 22, 255],
  ])('Speech audio with %s is rejected permanently, with the formats that work.', async (_, position, value) => {
    const error: unknown = await probeSpeech(await makeOddWav(position, value), { limits }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject(speechUnusable(/cannot be decoded.*Convert it to WAV, mono or stereo/));
    expect(error).toMatchObject({ policy: { retryable: false, decision: 'fail' } });
  });

  it('A video whose only sound has an unknown format is rejected as speech and accepted as a clip.', async () => {
    const folder = await temporaryFolder();
    const sound = ['-f', 'lavfi', '-i', 'sine=duration=0.4'];
    const path = await makeMedia(...source('128x96'), ...sound, ...x264, '-c:a', 'aac', join(folder, 'clip.mp4'));
    const bytes = await readFile(path);
    bytes.write('apac', bytes.indexOf('mp4a'), 'latin1');
    bytes.write('free', bytes.indexOf('esds'), 'latin1');
    await writeFile(path, bytes);
    expect(await speechRefusal(path)).toMatchObject(speechUnusable(/unknown format.*Convert it to WAV/));
    expect(await probeClip(path, { limits })).toMatchObject({ frameCount: 10 });
  });

  it('Speech audio is rejected when it is longer than the limit.', async () => {
    const folder = await temporaryFolder();
    const path = await makeSpeech(join(folder, 'speech.wav'), 2);
    expect(await speechRefusal(path, { ...limits, maxDurationMs: 1_500 })).toMatchObject(
      speechUnusable(/is longer than/),
    );
  });
});

describe('File names', () => {
  it.each([
    'it\'s "quoted" $(touch x) `y`.mp4',
    'two\nlines.mp4',
    'Ünïcødé 日本語 😀.mp4',
    '-y.mp4',
    '%03d.mp4',
    'concat:a|b.mp4',
    'a:b,c;[d]=\\e.mp4',
  ])('A clip with the name %j is read literally.', async (name) => {
    const folder = await temporaryFolder();
    const path = await makeMedia(
      ...source('128x96', 0.2),
      '-f',
      'lavfi',
      '-i',
      'sine=d=0.2',
      ...x264,
      '-f',
      'mp4',
      join(folder, name),
    );
    await expect(probeClip(path, { limits })).resolves.toMatchObject({ frameCount: 5, hasSound: true });
    await expect(probeSpeech(path, { limits })).resolves.toMatchObject({ codec: 'aac' });
  });
});
