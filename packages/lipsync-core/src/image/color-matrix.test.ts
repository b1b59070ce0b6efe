import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unchangedLevels } from '../providers/wav2lip/picture/color-match.ts';
import { colorMatrixOf, fromBgr, toBgr } from './color-matrix.ts';
import type { ColorTags } from '../media/media-types.ts';

function storedAs(tags: ColorTags, bgr: readonly [number, number, number], height = 720): readonly number[] {
  const output = { luma: new Float32Array(1), blue: new Float32Array(1), red: new Float32Array(1) };
  fromBgr(colorMatrixOf(tags, height), unchangedLevels(), Uint8Array.from(bgr), 0, 1, output);
  return [output.luma, output.blue, output.red].map(([value = NaN]) => Math.round(value));
}

const pureRed = [0, 0, 255] as const;
const white = [255, 255, 255] as const;

describe('color as it is stored', () => {
  it.each([
    ['BT.601, limited range', { space: 'smpte170m', range: 'tv' }, [81, 90, 240], [235, 128, 128]],
    ['BT.709, limited range', { space: 'bt709', range: 'tv' }, [63, 102, 240], [235, 128, 128]],
    ['BT.601, full range', { space: 'bt470bg', range: 'pc' }, [76, 85, 256], [255, 128, 128]],
    ['BT.2020, limited range', { space: 'bt2020nc' }, [74, 97, 240], [235, 128, 128]],
  ])('%s', (_, tags, red, neutral) => {
    expect(storedAs(tags, pureRed)).toEqual(red);
    expect(storedAs(tags, white)).toEqual(neutral);
  });

  it('is taken for BT.601 up to 576 lines where no tag tells, for BT.709 above, and so for tags that nobody knows', () => {
    expect(storedAs({}, pureRed, 576)).toEqual(storedAs({ space: 'smpte170m' }, pureRed));
    expect(storedAs({}, pureRed, 720)).toEqual(storedAs({ space: 'bt709' }, pureRed));
    expect(storedAs({ space: 'constructor' }, pureRed, 720)).toEqual(storedAs({ space: 'bt709' }, pureRed));
  });

  it('comes back the same to the last step', () => {
    const level = fc.integer({ min: 0, max: 255 });
    const tags = fc.record({
      space: fc.constantFrom('bt709', 'smpte170m', 'bt2020nc', 'smpte240m', 'fcc'),
      range: fc.constantFrom('tv', 'pc'),
    });
    fc.assert(
      fc.property(fc.tuple(level, level, level), tags, (bgr, color) => {
        const matrix = colorMatrixOf(color, 720);
        const output = { luma: new Float32Array(1), blue: new Float32Array(1), red: new Float32Array(1) };
        fromBgr(matrix, unchangedLevels(), Uint8Array.from(bgr), 0, 1, output);
        const inSixtyFourths = (values: Float32Array): Int16Array =>
          Int16Array.from(values, (value) => Math.round(value * 64));
        const back = new Uint8Array(3);
        toBgr(matrix, inSixtyFourths(output.luma), inSixtyFourths(output.blue), inSixtyFourths(output.red), 1, back);
        expect([...back]).toEqual(bgr);
      }),
    );
  });
});
