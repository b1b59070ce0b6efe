import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPossibleCount } from '../engine/engine-protocol.ts';
import { maxCropSizePx } from '../model/model-facts.ts';
import { maxInferencesPerFrame } from './frame-plan.ts';
import { batchFramesOf } from './redraw-frames.ts';

const clip = { width: 1280, height: 720 };

describe('batchFramesOf', () => {
  it('The batch size of the engine is used when memory permits.', () => {
    expect(batchFramesOf({ clip, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(32);
  });

  it('Large pictures reduce the batch, but to no less than one frame.', () => {
    expect(batchFramesOf({ clip: { width: 3840, height: 2160 }, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(10);
    expect(batchFramesOf({ clip: { width: 16_384, height: 16_384 }, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(
      1,
    );
  });

  it('A batch fits in one engine message even with the maximum number of inferences per frame.', () => {
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
