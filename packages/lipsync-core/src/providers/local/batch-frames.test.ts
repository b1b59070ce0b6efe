import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPossibleCount } from '../wav2lip/engine/engine-protocol.ts';
import { maxCropSizePx } from '../wav2lip/model/model-facts.ts';
import { maxInferencesPerFrame } from '../wav2lip/redraw/frame-plan.ts';
import { batchFramesOf } from './batch-frames.ts';

const clip = { width: 1280, height: 720 };

describe('the frames of a batch', () => {
  it('are as many as the engine likes', () => {
    expect(batchFramesOf({ clip, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(32);
  });

  it('are fewer where pictures are large, and one at least', () => {
    expect(batchFramesOf({ clip: { width: 3840, height: 2160 }, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(10);
    expect(batchFramesOf({ clip: { width: 16_384, height: 16_384 }, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(
      1,
    );
  });

  it('have room in one message when each of them needs all the drawings that a frame can need', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1024 }),
        fc.integer({ min: 1, max: maxCropSizePx }),
        (batchSize, cropSizePx) => {
          expect(
            isPossibleCount(
              batchFramesOf({ clip, engine: { batchSize, cropSizePx } }) * maxInferencesPerFrame,
              cropSizePx,
            ),
          ).toBe(true);
        },
      ),
    );
    expect(batchFramesOf({ clip, engine: { batchSize: 32, cropSizePx: maxCropSizePx } })).toBe(21);
  });
});
