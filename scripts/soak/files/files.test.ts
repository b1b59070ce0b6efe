import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getLipsyncService } from '@lipsync/core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startHeygenStandin } from '../../../packages/heygen-standin/src/index.ts';
import { standinEnvironment } from '../../lib/standin-environment.ts';
import { checkClip, checkPicture, checkSpeech, createFileSet, type FileSet } from '../files.ts';
import type { ClipCell } from './clip-cells.ts';
import { makePlainTake, receiveVendorInputs } from './measure.ts';
import type { SpeechCell } from './speech-cells.ts';

/** Some cells of `npm run soak -- files`: each fault, in containers and with codecs that differ. */
const clips: readonly ClipCell[] = [
  { container: 'mp4', codec: 'h264', fault: 'trimmed' },
  { container: 'mov', codec: 'mpeg4', fault: 'trimmed' },
  { container: 'mp4', codec: 'vp9', fault: 'late start' },
  { container: 'flv', codec: 'h264', fault: 'late start' },
  { container: 'mkv', codec: 'vp9', fault: 'hole' },
  { container: 'avi', codec: 'mjpeg', fault: 'hole' },
  { container: 'asf', codec: 'mpeg4', fault: 'joined' },
  { container: 'ts', codec: 'h264', fault: 'joined' },
  { container: 'ts', codec: 'mpeg4', fault: 'changed size' },
  { container: 'webm', codec: 'vp9', fault: 'changed size' },
  { container: 'mkv', codec: 'mjpeg', fault: 'changed rate' },
  { container: 'webm', codec: 'vp9', fault: 'cut off' },
];
const speeches: readonly SpeechCell[] = [
  { format: 'ts', fault: 'late' },
  { format: 'mp4', fault: 'late' },
  { format: 'mkv', fault: 'hole' },
  { format: 'ogg', fault: 'hole' },
  { format: 'mp3', fault: 'joined rates' },
  { format: 'ogg', fault: 'joined rates' },
  { format: 'wav', fault: 'joined rates' },
  { format: 'wav', fault: '10 channels' },
  { format: 'flac', fault: '6 channels' },
  { format: 'caf', fault: 'float' },
  { format: 'mp3', fault: 'no length' },
];

let files: FileSet;
const folder = await mkdtemp(join(tmpdir(), 'lipsync-files-test-'));
beforeAll(async () => {
  files = await createFileSet(folder);
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

it.each(clips)(
  'A take of a clip in $container with $codec and the fault "$fault" shows what a player shows.',
  { timeout: 120_000 },
  async (cell) => {
    expect(await checkClip(cell, files, makePlainTake)).toMatchObject({
      holds: true,
      text: expect.not.stringMatching(/^—/),
    });
  },
);

it.each(speeches)(
  'A take of speech in $format with the fault "$fault" sounds as a player plays it.',
  { timeout: 120_000 },
  async (cell) => {
    expect(await checkSpeech(cell, files, makePlainTake)).toMatchObject({
      holds: true,
      text: expect.not.stringMatching(/^—/),
    });
  },
);

it(
  'HeyGen receives an HLG clip as SDR and a photo with an EXIF orientation upright.',
  { timeout: 240_000 },
  async () => {
    const standin = await startHeygenStandin({ settings: { timescale: 1_000 } });
    for (const [name, value] of Object.entries({ ...standinEnvironment(standin), LIPSYNC_QUALITY: 'off' }))
      vi.stubEnv(name, value);
    const service = getLipsyncService({ dataDir: join(folder, 'data') });
    try {
      for (const picture of ['HLG, transfer tag only, HEVC in MPEG-TS', 'EXIF 5, WebP'])
        expect(
          await checkPicture({ picture }, files, (inputs) => receiveVendorInputs(inputs, service, standin)),
        ).toMatchObject({ holds: true });
    } finally {
      vi.unstubAllEnvs();
      await service.close();
      await standin.close();
    }
  },
);
