import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LipsyncError } from '../../src/errors/index.ts';
import { probeSound, probeSpeech, readMonoSound, readSpeech } from '../../src/media/index.ts';
import { limits, makeMedia, temporaryFolder } from './make-media.ts';

/** Lengths by which the tracks of a file differ, in seconds. */
const lengths = [0.4, 0.8, 1.2];

/** A file with one tone per codec, of increasing length; the track `standard` is the default one. */
async function makeTracks(name: string, codecs: readonly string[], standard: number | null): Promise<string> {
  const inputs = codecs.flatMap((_, index) => ['-f', 'lavfi', '-i', `sine=r=48000:d=${lengths[index] ?? 1}`]);
  const tracks = codecs.flatMap((codec, index) => [
    '-map',
    String(index),
    `-c:a:${index}`,
    codec,
    `-metadata:s:a:${index}`,
    `language=${['deu', 'eng', 'fra'][index] ?? 'und'}`,
    `-disposition:a:${index}`,
    index + 1 === standard ? 'default' : '0',
  ]);
  return makeMedia(...inputs, ...tracks, join(await temporaryFolder(), name));
}

/** Replaces the format of a track of an MP4 by one without a decoder. */
async function makeUnknown(path: string, ...numbers: readonly number[]): Promise<string> {
  const bytes = await readFile(path);
  let position = -1;
  for (let number = 1; (position = bytes.indexOf('mp4a', position + 1)) >= 0; number += 1) {
    // The brand of an M4A file is written in the same letters.
    if (bytes.toString('latin1', position - 16, position - 12) !== 'stsd') {
      number -= 1;
      continue;
    }
    if (!numbers.includes(number)) continue;
    bytes.write('apac', position, 'latin1');
    bytes.write('free', bytes.indexOf('esds', position), 'latin1');
  }
  await writeFile(path, bytes);
  return path;
}

const probe = (path: string, audioTrack?: number) => probeSpeech(path, { limits, audioTrack });

async function refusal(path: string, audioTrack?: number): Promise<LipsyncError> {
  return probe(path, audioTrack).then(
    () => expect.unreachable(`${path} was accepted`),
    (error: unknown) => error as LipsyncError,
  );
}

async function countSeconds(chunks: AsyncIterable<Float32Array>): Promise<number> {
  let count = 0;
  for await (const { length } of chunks) count += length;
  return count / 16_000;
}

describe('The track of a speech file', () => {
  it.each([
    ['The default track of a Matroska file', 'two.mkv', ['aac', 'flac'], 2, 2],
    ['The default track of a WebM file', 'three.webm', ['libopus', 'libvorbis', 'libopus'], 3, 3],
    ['The default track of a QuickTime file', 'two.mov', ['pcm_s16le', 'aac'], 2, 2],
    ['The first track of a file without a default track', 'two.mka', ['ac3', 'libmp3lame'], null, 1],
    ['The first track of an MPEG-TS file', 'two.ts', ['ac3', 'mp2'], null, 1],
  ])('%s is used and named.', async (_, name, codecs, standard, number) => {
    const facts = await probe(await makeTracks(name, codecs, standard));
    expect(Math.abs(facts.durationMs / 1000 - (lengths[number - 1] ?? 0))).toBeLessThan(0.1);
    expect(facts).toMatchObject({ streamIndex: number - 1 });
    expect(facts.trackChoice).toMatch(new RegExp(`^The speech audio has \\d audio tracks\\. Track ${number} \\(`));
  });

  it.each([
    ['as the first of two', 'first.mp4', ['aac', 'aac'], 1, [1], 2],
    ['as the default track', 'default.m4a', ['aac', 'aac', 'aac'], 3, [3], 1],
    ['twice before another one', 'twice.mov', ['aac', 'aac', 'aac'], 1, [1, 2], 3],
  ])('A track without a decoder is skipped %s.', async (_, name, codecs, standard, unknown, number) => {
    const path = await makeUnknown(await makeTracks(name, codecs, standard), ...unknown);
    expect(await probe(path)).toMatchObject({ streamIndex: number - 1, codec: 'aac' });
    expect((await probe(path)).trackChoice).toContain('unknown format');
  });

  it('A file in which no track has a decoder is refused permanently.', async () => {
    const path = await makeUnknown(await makeTracks('none.mp4', ['aac', 'aac'], 1), 1, 2);
    expect(await refusal(path)).toMatchObject({ code: 'speech_unusable', policy: { retryable: false } });
  });

  it('The request chooses a track by its number, and every reader reads that track.', async () => {
    const path = await makeTracks('three.mkv', ['aac', 'aac', 'flac'], 1);
    const facts = await probe(path, 3);
    expect(facts).toMatchObject({ streamIndex: 2, codec: 'flac' });
    expect(facts.trackChoice).toBeUndefined();
    expect(await countSeconds(readSpeech(path, facts))).toBeCloseTo(1.2, 2);
    expect(await countSeconds(readMonoSound(path, facts))).toBeCloseTo(1.2, 2);
  });

  it('A number without a track is refused with the list of tracks.', async () => {
    const error = await refusal(await makeTracks('two.mkv', ['aac', 'flac'], 2), 3);
    expect(error).toMatchObject({ code: 'request_invalid' });
    expect(error.message).toContain('1 (deu, aac, 1 channel), 2 (eng, default, flac, 1 channel)');
  });

  it('A chosen track without a decoder is refused with the tracks that remain.', async () => {
    const error = await refusal(await makeUnknown(await makeTracks('two.mp4', ['aac', 'aac'], 1), 1), 1);
    expect(error).toMatchObject({ code: 'speech_unusable' });
    expect(error.message).toContain('audio_track, 2 (eng');
  });

  it('The only track of a file needs no mention.', async () => {
    expect((await probe(await makeTracks('one.m4a', ['aac'], 1))).trackChoice).toBeUndefined();
  });
});

it('The sound of a video is its default track.', async () => {
  expect(await probeSound(await makeTracks('two.mkv', ['aac', 'flac'], 2))).toMatchObject({ streamIndex: 1 });
});
