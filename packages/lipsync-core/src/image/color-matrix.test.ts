import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { colorMatrixOf, fromBgr, toBgr, type ColorMatrix, type LevelTables, type YcbcrPlanes } from './color-matrix.ts';
import type { ColorTags } from './planes.ts';

function identityTables(): LevelTables {
  const table = Float32Array.from({ length: 256 }, (_, level) => level);
  return { blue: table, green: table, red: table };
}

type Bgr = readonly [blue: number, green: number, red: number];

function convert(matrix: ColorMatrix, bgr: Bgr): YcbcrPlanes<Float32Array> {
  const output = { luma: new Float32Array(1), cb: new Float32Array(1), cr: new Float32Array(1) };
  fromBgr(matrix, { bgr: Uint8Array.from(bgr), levels: identityTables(), first: 0, end: 1 }, output);
  return output;
}

function ycbcrOf(tags: ColorTags, bgr: Bgr, height = 720): readonly number[] {
  const { luma, cb, cr } = convert(colorMatrixOf(tags, height), bgr);
  return [luma, cb, cr].map(([value = NaN]) => Math.round(value));
}

const pureRed = [0, 0, 255] as const;
const white = [255, 255, 255] as const;

describe('colorMatrixOf', () => {
  it.each([
    ['BT.601 limited-range', { space: 'smpte170m', range: 'tv' }, [81, 90, 240], [235, 128, 128]],
    ['BT.709 limited-range', { space: 'bt709', range: 'tv' }, [63, 102, 240], [235, 128, 128]],
    ['BT.601 full-range', { space: 'bt470bg', range: 'pc' }, [76, 85, 256], [255, 128, 128]],
    ['BT.2020 limited-range', { space: 'bt2020nc' }, [74, 97, 240], [235, 128, 128]],
  ])('Red and white convert to the standard %s values.', (_, tags, red, neutral) => {
    expect(ycbcrOf(tags, pureRed)).toEqual(red);
    expect(ycbcrOf(tags, white)).toEqual(neutral);
  });

  it('Missing and unknown tags select BT.601 up to 576 lines and BT.709 above.', () => {
    expect(ycbcrOf({}, pureRed, 576)).toEqual(ycbcrOf({ space: 'smpte170m' }, pureRed));
    expect(ycbcrOf({}, pureRed, 720)).toEqual(ycbcrOf({ space: 'bt709' }, pureRed));
    expect(ycbcrOf({ space: 'constructor' }, pureRed, 720)).toEqual(ycbcrOf({ space: 'bt709' }, pureRed));
  });

  it("A conversion from BGR to Y'CbCr and back returns the same bytes.", () => {
    const level = fc.integer({ min: 0, max: 255 });
    const tags = fc.record({
      space: fc.constantFrom('bt709', 'smpte170m', 'bt2020nc', 'smpte240m', 'fcc'),
      range: fc.constantFrom('tv', 'pc'),
    });
    const fixedPoint = (values: Float32Array): Int16Array => Int16Array.from(values, (value) => Math.round(value * 64));
    fc.assert(
      fc.property(fc.tuple(level, level, level), tags, (bgr, color) => {
        const matrix = colorMatrixOf(color, 720);
        const { luma, cb, cr } = convert(matrix, bgr);
        const back = new Uint8Array(3);
        toBgr(matrix, { luma: fixedPoint(luma), cb: fixedPoint(cb), cr: fixedPoint(cr) }, 1, back);
        expect([...back]).toEqual(bgr);
      }),
    );
  });
});
