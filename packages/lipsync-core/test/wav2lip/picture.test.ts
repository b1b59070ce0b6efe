import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ColorTags, Picture } from '../../src/media/media-types.ts';
import { FaceCropper, placeFace } from '../../src/providers/wav2lip/picture/face-crop.ts';
import { FacePaster } from '../../src/providers/wav2lip/picture/paste-face.ts';
import { ssimOutside } from '../../src/image/ssim.ts';
import { copyOf, landmarksOf, lumaSquare, mouthSquare, texturedPicture, type SyntheticFace } from './picture-face.ts';

const color: ColorTags = { space: 'bt709', range: 'tv' };
const plain = { colorMatch: false, sharpen: false, color } as const;
const face: SyntheticFace = { x: 160, y: 120, height: 180, roll: 0 };

function crop(
  picture: Picture,
  { points, size, tags = color }: { points: Float32Array; size: number; tags?: ColorTags },
): Uint8Array {
  const output = new Uint8Array(size * size * 3);
  new FaceCropper({ cropSizePx: size, color: tags }).crop(picture, placeFace(points), output);
  return output;
}

interface Redrawing {
  readonly face?: SyntheticFace;
  readonly size?: number;
  readonly paster?: FacePaster;
  readonly strength?: number;
  readonly tags?: ColorTags;
  /** Stands for the model; the identity by default. */
  readonly generate?: (bgr: Uint8Array) => Uint8Array;
}

/** Crops a face, applies `generate` and pastes the result into a copy of the picture. */
function pasteGenerated(
  before: Picture,
  { face: place = face, size = 96, tags = color, strength = 1, generate = (bgr) => bgr, paster }: Redrawing,
): Picture {
  const after = copyOf(before);
  const points = landmarksOf(place);
  const source = crop(before, { points, size, tags });
  const used = paster ?? new FacePaster({ ...plain, cropSizePx: size, color: tags });
  used.paste({ picture: after, placement: placeFace(points), points, source, generated: generate(source), strength });
  return after;
}

function inverted(bgr: Uint8Array): Uint8Array {
  return bgr.map((level) => 255 - level);
}

function ssimAtMouth(before: Picture, after: Picture, place: SyntheticFace): number {
  const square = mouthSquare(before, placeFace(landmarksOf(place)));
  return ssimOutside({
    a: lumaSquare(before, square),
    b: lumaSquare(after, square),
    width: square.size,
    height: square.size,
  });
}

/** Start and end of the planes, in units of the luma plane. */
const planeRanges = { luma: [0, 1], blue: [1, 1.25], red: [1.25, 1.5] } as const;

/** Mean change of the bytes of a plane that the mask covers. */
function meanChange(
  before: Picture,
  after: Picture,
  plane: 'luma' | 'blue' | 'red',
  place: SyntheticFace = face,
): number {
  const replaced = pasteGenerated(before, { face: place, generate: inverted });
  const [start = 0, end = 0] = planeRanges[plane].map((share) => share * before.width * before.height);
  let sum = 0;
  let count = 0;
  for (let index = start; index < end; index += 1) {
    if (before.data[index] === replaced.data[index]) continue;
    sum += (after.data[index] ?? 0) - (before.data[index] ?? 0);
    count += 1;
  }
  return sum / count;
}

/** Mean absolute difference of horizontal neighbors in the replaced square. */
function roughness(picture: Picture, place: SyntheticFace): number {
  const square = mouthSquare(picture, placeFace(landmarksOf(place)));
  const luma = lumaSquare(picture, square);
  let sum = 0;
  for (let index = 1; index < luma.length; index += 1)
    if (index % square.size !== 0) sum += Math.abs((luma[index] ?? 0) - (luma[index - 1] ?? 0));
  return sum / luma.length;
}

describe('Unchanged face', () => {
  it.each([-30, -12, 0, 7, 30, 75, 180])(
    'Pasting back the crop of a head with a roll of %i degrees preserves the picture.',
    (degrees) => {
      const place = { ...face, roll: (degrees * Math.PI) / 180 };
      const before = texturedPicture(320, 240);
      expect(ssimAtMouth(before, pasteGenerated(before, { face: place, size: 384 }), place)).toBeGreaterThan(0.99);
      expect(ssimAtMouth(before, pasteGenerated(before, { face: place, size: 96 }), place)).toBeGreaterThan(0.97);
    },
  );

  it.each([
    ['limited range', { space: 'bt709', range: 'tv' }],
    ['full range', { space: 'bt470bg', range: 'pc' }],
    ['no tags at all', {}],
  ])('Pasting back the crop shifts no color (%s).', (_, tags) => {
    const before = texturedPicture(320, 240);
    const after = pasteGenerated(before, { tags, size: 192 });
    for (const plane of ['luma', 'blue', 'red'] as const)
      expect(Math.abs(meanChange(before, after, plane))).toBeLessThan(0.2);
  });

  it('Color and sharpness matching do not change an identical face.', () => {
    const before = texturedPicture(320, 240);
    const matched = new FacePaster({ colorMatch: true, sharpen: true, color, cropSizePx: 96 });
    expect(pasteGenerated(before, { paster: matched }).data).toEqual(pasteGenerated(before, {}).data);
  });
});

describe('Region outside of the mask', () => {
  it('Pixels above the nose, beside the face and below the box stay bit-identical for any face position.', () => {
    const paster = new FacePaster({ ...plain, cropSizePx: 32 });
    const anyFace = fc.record({
      x: fc.integer({ min: -60, max: 190 }),
      y: fc.integer({ min: -60, max: 160 }),
      height: fc.integer({ min: 8, max: 400 }),
      roll: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
    });
    const before = texturedPicture(128, 96);
    fc.assert(
      fc.property(anyFace, (place) => {
        const after = pasteGenerated(before, { face: place, size: 32, paster, generate: inverted });
        const { centerX, centerY, width, height, roll } = placeFace(landmarksOf(place));
        // Tolerance for the resolution of the mask and of chroma.
        const tolerance = 2.5 / Math.min(width, height);
        const changedOutside: string[] = [];
        for (let index = 0; index < before.data.length; index += 1) {
          if (before.data[index] === after.data[index]) continue;
          const [x, y] = coordinatesOfByte(index, 128, 96);
          const across = ((x - centerX) * Math.cos(roll) + (y - centerY) * Math.sin(roll)) / width;
          const down = ((y - centerY) * Math.cos(roll) - (x - centerX) * Math.sin(roll)) / height;
          if (Math.abs(across) > 0.5 + tolerance || down > 0.5 + tolerance || down < -0.06 - tolerance)
            changedOutside.push(`${across}, ${down}`);
        }
        expect(changedOutside).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it.each([32, 96, 256])('Rows of a generated face of %i pixels above the first row have no effect.', (size) => {
    const options = { colorMatch: true, sharpen: true, color, cropSizePx: size };
    const anyFace = fc.record({
      x: fc.integer({ min: 20, max: 110 }),
      y: fc.integer({ min: 20, max: 80 }),
      height: fc.integer({ min: 20, max: 200 }),
      roll: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
    });
    const before = texturedPicture(128, 96);
    fc.assert(
      fc.property(anyFace, (place) => {
        const points = landmarksOf(place);
        const firstRow = new FacePaster(options).firstRow(placeFace(points), points);
        expect(firstRow).toBeGreaterThan(size / 4);
        const pasteWith = (above: number): Picture =>
          pasteGenerated(before, {
            face: place,
            size,
            paster: new FacePaster(options),
            generate: (bgr) => inverted(bgr).fill(above, 0, firstRow * size * 3),
          });
        expect(pasteWith(0).data).toEqual(pasteWith(255).data);
      }),
      { numRuns: 30 },
    );
  });

  it('The picture stays unchanged at strength 0 and for a face outside of it.', () => {
    const before = texturedPicture(128, 96);
    expect(
      pasteGenerated(before, { face: { ...face, x: 60, y: 50, height: 60 }, strength: 0, generate: inverted }).data,
    ).toEqual(before.data);
    expect(pasteGenerated(before, { face: { ...face, x: 900, y: 50, height: 60 }, generate: inverted }).data).toEqual(
      before.data,
    );
  });
});

/** Luma coordinates of a byte of a picture. */
function coordinatesOfByte(index: number, width: number, height: number): readonly [x: number, y: number] {
  if (index < width * height) return [(index % width) + 0.5, Math.floor(index / width) + 0.5];
  const inPlane = (index - width * height) % ((width * height) / 4);
  return [(inPlane % (width / 2)) * 2 + 0.5, Math.floor(inPlane / (width / 2)) * 2 + 1];
}

describe('Generated face', () => {
  it('Lips and chin are replaced completely in luma and chroma.', () => {
    const before = texturedPicture(320, 240);
    const after = pasteGenerated(before, { generate: (bgr) => bgr.map((_, index) => [200, 60, 60][index % 3] ?? 0) });
    const expected = {
      luma: 16 + (219 / 255) * (200 * 0.0722 + 60 * 0.7152 + 60 * 0.2126),
      blue: 128 + ((200 - 70.1) / 1.8556) * (224 / 255),
    };
    for (const down of [0.2, 0.31, 0.42, 0.48]) {
      const x = face.x;
      const y = Math.round(face.y + face.height * down);
      expect(Math.abs((after.data[y * 320 + x] ?? 0) - expected.luma)).toBeLessThan(3);
      expect(Math.abs((after.data[320 * 240 + (y >> 1) * 160 + (x >> 1)] ?? 0) - expected.blue)).toBeLessThan(6);
    }
  });

  it('The mask fades into the face without visible edges.', () => {
    const before: Picture = { width: 320, height: 240, data: new Uint8Array(320 * 240 * 1.5).fill(128) };
    const after = pasteGenerated(before, {
      face: { ...face, height: 220 },
      generate: (bgr) => bgr.map((level) => level + 60),
    });
    const steps: number[] = [];
    for (let index = 320; index < 320 * 240; index += 1) {
      steps.push(
        Math.abs((after.data[index] ?? 0) - (after.data[index - 1] ?? 0)),
        Math.abs((after.data[index] ?? 0) - (after.data[index - 320] ?? 0)),
      );
    }
    expect(Math.max(...after.data.subarray(0, 320 * 240))).toBeGreaterThan(175);
    expect(steps.reduce((most, step) => Math.max(most, step), 0)).toBeLessThan(20);
  });

  it('Strength is the opacity of the generated face.', () => {
    const before = texturedPicture(320, 240);
    const whole = pasteGenerated(before, { generate: inverted });
    const half = pasteGenerated(before, { generate: inverted, strength: 0.5 });
    for (let index = 0; index < before.data.length; index += 1) {
      const middle = ((before.data[index] ?? 0) + (whole.data[index] ?? 0)) / 2;
      expect(Math.abs((half.data[index] ?? 0) - middle)).toBeLessThanOrEqual(1.5);
    }
  });

  it.each([
    [40, 20, 24],
    [90, 700, 130],
  ])('In a picture of %i lines, a face of %i pixels is replaced.', (height, faceHeight, texture) => {
    const place = { x: 64, y: height / 2 - faceHeight * 0.2, height: faceHeight, roll: 0.1 };
    const before = texturedPicture(128, height, texture);
    const after = pasteGenerated(before, { face: place, generate: inverted });
    expect(after.data).not.toEqual(before.data);
    expect(Math.abs(meanChange(before, pasteGenerated(before, { face: place }), 'luma', place))).toBeLessThan(1);
  });
});

describe('Color matching', () => {
  const darker = (bgr: Uint8Array): Uint8Array =>
    bgr.map((level, index) => (level - 128) * 0.9 + 128 - ([6, 12, 18][index % 3] ?? 0));

  it('Color matching removes most of a difference in brightness, contrast and tint.', () => {
    const before = texturedPicture(320, 240);
    const paster = new FacePaster({ ...plain, colorMatch: true, cropSizePx: 96 });
    expect(Math.abs(meanChange(before, pasteGenerated(before, { generate: darker }), 'luma'))).toBeGreaterThan(5);
    expect(Math.abs(meanChange(before, pasteGenerated(before, { generate: darker, paster }), 'luma'))).toBeLessThan(1);
  });

  it('A single outlier frame barely changes the color estimate, and a new shot resets it.', () => {
    const before = texturedPicture(320, 240);
    const paster = new FacePaster({ ...plain, colorMatch: true, cropSizePx: 96 });
    pasteGenerated(before, { paster });
    const outlier = pasteGenerated(before, { generate: darker, paster });
    expect(Math.abs(meanChange(before, outlier, 'luma'))).toBeGreaterThan(4);
    paster.startShot();
    expect(Math.abs(meanChange(before, pasteGenerated(before, { generate: darker, paster }), 'luma'))).toBeLessThan(1);
  });

  it('Color matching does not brighten a black face.', () => {
    const before = texturedPicture(320, 240);
    const paster = new FacePaster({ ...plain, colorMatch: true, cropSizePx: 96 });
    const after = pasteGenerated(before, { generate: (bgr) => bgr.fill(0), paster });
    expect(meanChange(before, after, 'luma')).toBeLessThan(-60);
  });
});

describe('Sharpness matching', () => {
  it('Sharpening restores part of the detail of a blurred face and never exceeds the original.', () => {
    const place = { ...face, height: 120 };
    const before = texturedPicture(320, 240, 7);
    const soft = (bgr: Uint8Array): Uint8Array => blurred(bgr, 96);
    const paster = new FacePaster({ ...plain, sharpen: true, cropSizePx: 96 });
    const blurry = roughness(pasteGenerated(before, { face: place, generate: soft }), place);
    const sharp = roughness(pasteGenerated(before, { face: place, generate: soft, paster }), place);
    expect(sharp).toBeGreaterThan(blurry * 1.2);
    expect(sharp).toBeLessThan(roughness(before, place));
  });
});

/** 3 × 3 box blur. */
function blurred(bgr: Uint8Array, size: number): Uint8Array {
  return bgr.map((level, index) => {
    const row = Math.floor(index / (size * 3));
    const column = Math.floor((index % (size * 3)) / 3);
    if (row === 0 || row === size - 1 || column === 0 || column === size - 1) return level;
    let sum = 0;
    for (const down of [-1, 0, 1]) for (const across of [-1, 0, 1]) sum += bgr[index + (down * size + across) * 3] ?? 0;
    return sum / 9;
  });
}
