import { describe, expect, it } from 'vitest';
import { compareVideo, compareWithOutputs } from '../../src/fingerprint/compare.ts';
import { FingerprintBuilder, type UnpackedFingerprint } from '../../src/fingerprint/fingerprint.ts';
import { mouthCellsOf } from '../../src/fingerprint/mouth-patch.ts';
import { meansOf, thumbnailSide, wholePicture, type RelativeArea } from '../../src/fingerprint/picture-hash.ts';
import { judgeSimilarity } from '../../src/fingerprint/verdict.ts';
import type { QueryFrame, VideoQuery } from '../../src/fingerprint/video-query.ts';

const [width, height] = [160, 90];
const mouthArea: RelativeArea = { left: 0.4, top: 0.6, width: 0.2, height: 0.2 };

/** A repeatable pattern of bytes. */
function patternAt(index: number): number {
  return Math.imul(index + 1, 0x9e37_79b1) >>> 24;
}

/** Four seconds at 25 frames per second; the mouth changes by `motion` luma at most. */
function framesWith(motion: number): readonly QueryFrame[] {
  return Array.from({ length: 100 }, (_, index) => {
    const data = Uint8Array.from({ length: width * height }, (_value, pixel) => {
      const [column, row] = [(pixel % width) / width, Math.floor(pixel / width) / height];
      const isMouth = column >= 0.4 && column < 0.6 && row >= 0.6 && row < 0.8;
      if (!isMouth) return patternAt((Math.floor(row * 9) + 1) * Math.floor(column * 16 + 17));
      const cell = Math.floor(row * 20) * 25 + Math.floor(column * 25);
      return 100 + Math.round((patternAt(cell + 97 * index) / 255) * motion);
    });
    return { timeMs: index * 40, luma: { data, start: 0, width, height } };
  });
}

const soundOf = (count: number) => Uint32Array.from({ length: count }, (_, step) => Math.imul(step + 1, 0x85eb_ca6b));

function videoOf(frames: readonly QueryFrame[]): VideoQuery {
  const hashes = soundOf(320);
  return { frames, sound: { hashes, weak: new Uint32Array(320), certainty: new Float32Array(320) } };
}

/** The stored fingerprint of a video, as `FingerprintBuilder` makes it. */
function storedOf(frames: readonly QueryFrame[]): UnpackedFingerprint {
  const first = frames[0]?.luma;
  return {
    sound: soundOf(320).filter((_, step) => step % 8 === 0),
    thumbnails: first ? [meansOf(first, wholePicture, thumbnailSide, thumbnailSide)] : [],
    mouths: frames
      .filter(({ timeMs }) => timeMs % 200 === 0)
      .map(({ timeMs, luma }) => ({ timeMs, area: mouthArea, cells: mouthCellsOf(luma, mouthArea, wholePicture) })),
  };
}

describe('The mouth of a video with the picture and the sound of an output', () => {
  const output = storedOf(framesWith(40));
  const judge = (motion: number, stored = output) => {
    const similarity = compareVideo(videoOf(framesWith(motion)), stored);
    return [judgeSimilarity(similarity), similarity.mouth];
  };

  it('decides that a still picture under the speech is no copy, and that a copy with less contrast is one.', () => {
    expect(judge(40)).toEqual(['output', 1]);
    expect(judge(0)).toEqual(['same_picture_and_sound', 0]);
    expect(judge(4)).toEqual(['output', expect.closeTo(1, 1)]);
  });

  it('does not decide where the mouth of the output itself hardly moves.', () => {
    expect(judge(40, storedOf(framesWith(0)))).toEqual(['output', null]);
  });
});

it('A stored fingerprint of another version, and an incomplete one, have no similarity; the others are compared.', () => {
  const builder = new FingerprintBuilder();
  const frames = framesWith(40);
  for (const { timeMs, luma } of frames) {
    const data = new Uint8Array((width * height * 3) / 2);
    data.set(luma.data);
    builder.addFrame(timeMs, { width, height, data }, undefined);
  }
  const { packed } = builder.finish();
  const bytes = Buffer.from(packed, 'base64');
  const ofNextVersion = Buffer.concat([Buffer.of((bytes[0] ?? 0) + 1), bytes.subarray(1)]).toString('base64');
  const cut = [0, 1, 8, bytes.length - 1].map((length) => bytes.subarray(0, length).toString('base64'));
  const similarities = compareWithOutputs(videoOf(frames), [ofNextVersion, ...cut, packed]);
  expect(similarities).toEqual([null, null, null, null, null, expect.objectContaining({ picture: 1 })]);
});
