import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ColorTags, Picture } from '../../src/media/media-types.ts';
import {
  createFaceCropper,
  createFacePaster,
  placeFace,
  type FacePaster,
} from '../../src/providers/wav2lip/picture/index.ts';
import { ssimOutside } from '../../src/testing/picture-judge.ts';
import { copyOf, landmarksOf, lumaSquare, mouthSquare, texturedPicture, type InventedFace } from './picture-face.ts';

const color: ColorTags = { space: 'bt709', range: 'tv' };
const plain = { colorMatch: false, sharpen: false, color } as const;
const face: InventedFace = { x: 160, y: 120, height: 180, roll: 0 };

function crop(
  picture: Picture,
  { points, size, tags = color }: { points: Float32Array; size: number; tags?: ColorTags },
): Uint8Array {
  const output = new Uint8Array(size * size * 3);
  createFaceCropper({ cropSizePx: size, color: tags }).crop(picture, placeFace(points), output);
  return output;
}

interface Redrawing {
  readonly face?: InventedFace;
  readonly size?: number;
  readonly paster?: FacePaster;
  readonly strength?: number;
  readonly tags?: ColorTags;
  /** What the model does; nothing by default. */
  readonly redraw?: (bgr: Uint8Array) => Uint8Array;
}

/** Crops a face, redraws it and pastes it into a copy. */
function redrawn(
  before: Picture,
  { face: place = face, size = 96, tags = color, strength = 1, redraw = (bgr) => bgr, paster }: Redrawing,
): Picture {
  const after = copyOf(before);
  const points = landmarksOf(place);
  const source = crop(before, { points, size, tags });
  const used = paster ?? createFacePaster({ ...plain, cropSizePx: size, color: tags });
  used.paste({ picture: after, placement: placeFace(points), points, source, generated: redraw(source), strength });
  return after;
}

function inverted(bgr: Uint8Array): Uint8Array {
  return bgr.map((level) => 255 - level);
}

function likeness(before: Picture, after: Picture, place: InventedFace): number {
  const square = mouthSquare(before, placeFace(landmarksOf(place)));
  return ssimOutside(lumaSquare(before, square), lumaSquare(after, square), square.size, square.size, undefined);
}

/** Where planes begin and end, in pictures' sizes. */
const planeEnds = { luma: [0, 1], blue: [1, 1.25], red: [1.25, 1.5] } as const;

/** Mean change of those bytes of a plane that a redrawn face would replace. */
function meanChange(
  before: Picture,
  after: Picture,
  plane: 'luma' | 'blue' | 'red',
  place: InventedFace = face,
): number {
  const replaced = redrawn(before, { face: place, redraw: inverted });
  const [start = 0, end = 0] = planeEnds[plane].map((share) => share * before.width * before.height);
  let sum = 0;
  let count = 0;
  for (let index = start; index < end; index += 1) {
    if (before.data[index] === replaced.data[index]) continue;
    sum += (after.data[index] ?? 0) - (before.data[index] ?? 0);
    count += 1;
  }
  return sum / count;
}

/** Mean step between neighbors in the square that is replaced. */
function roughness(picture: Picture, place: InventedFace): number {
  const square = mouthSquare(picture, placeFace(landmarksOf(place)));
  const luma = lumaSquare(picture, square);
  let sum = 0;
  for (let index = 1; index < luma.length; index += 1)
    if (index % square.size !== 0) sum += Math.abs((luma[index] ?? 0) - (luma[index - 1] ?? 0));
  return sum / luma.length;
}

describe('a face that the model gives back unchanged', () => {
  it.each([-30, -12, 0, 7, 30, 75, 180])('leaves a head tilted by %i degrees as it was', (degrees) => {
    const place = { ...face, roll: (degrees * Math.PI) / 180 };
    const before = texturedPicture(320, 240);
    expect(likeness(before, redrawn(before, { face: place, size: 384 }), place)).toBeGreaterThan(0.99);
    expect(likeness(before, redrawn(before, { face: place, size: 96 }), place)).toBeGreaterThan(0.97);
  });

  it.each([
    ['limited range', { space: 'bt709', range: 'tv' }],
    ['full range', { space: 'bt470bg', range: 'pc' }],
    ['no tags at all', {}],
  ])('shifts no color: %s', (_, tags) => {
    const before = texturedPicture(320, 240);
    const after = redrawn(before, { tags, size: 192 });
    for (const plane of ['luma', 'blue', 'red'] as const)
      expect(Math.abs(meanChange(before, after, plane))).toBeLessThan(0.2);
  });

  it('changes nothing more when shade and sharpness are matched', () => {
    const before = texturedPicture(320, 240);
    const matched = createFacePaster({ colorMatch: true, sharpen: true, color, cropSizePx: 96 });
    expect(redrawn(before, { paster: matched }).data).toEqual(redrawn(before, {}).data);
  });
});

describe('what is not to change', () => {
  it('stays the same to the last bit above the nose, beside the face and below the box, wherever the face is', () => {
    const paster = createFacePaster({ ...plain, cropSizePx: 32 });
    const anyFace = fc.record({
      x: fc.integer({ min: -60, max: 190 }),
      y: fc.integer({ min: -60, max: 160 }),
      height: fc.integer({ min: 8, max: 400 }),
      roll: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
    });
    const before = texturedPicture(128, 96);
    fc.assert(
      fc.property(anyFace, (place) => {
        const after = redrawn(before, { face: place, size: 32, paster, redraw: inverted });
        const { centerX, centerY, width, height, roll } = placeFace(landmarksOf(place));
        // Two pixels share one place of the mask.
        const slack = 2.5 / Math.min(width, height);
        const strayed: string[] = [];
        for (let index = 0; index < before.data.length; index += 1) {
          if (before.data[index] === after.data[index]) continue;
          const [x, y] = placeOfByte(index, 128, 96);
          const across = ((x - centerX) * Math.cos(roll) + (y - centerY) * Math.sin(roll)) / width;
          const down = ((y - centerY) * Math.cos(roll) - (x - centerX) * Math.sin(roll)) / height;
          if (Math.abs(across) > 0.5 + slack || down > 0.5 + slack || down < -0.06 - slack)
            strayed.push(`${across}, ${down}`);
        }
        expect(strayed).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('is the whole picture at strength 0, and for a face that lies outside of it', () => {
    const before = texturedPicture(128, 96);
    expect(
      redrawn(before, { face: { ...face, x: 60, y: 50, height: 60 }, strength: 0, redraw: inverted }).data,
    ).toEqual(before.data);
    expect(redrawn(before, { face: { ...face, x: 900, y: 50, height: 60 }, redraw: inverted }).data).toEqual(
      before.data,
    );
  });
});

/** Where in the luma plane a byte of a picture lies. */
function placeOfByte(index: number, width: number, height: number): readonly [x: number, y: number] {
  if (index < width * height) return [(index % width) + 0.5, Math.floor(index / width) + 0.5];
  const inPlane = (index - width * height) % ((width * height) / 4);
  return [(inPlane % (width / 2)) * 2 + 0.5, Math.floor(inPlane / (width / 2)) * 2 + 1];
}

describe('a redrawn face', () => {
  it('replaces lips and chin wholly, in brightness and color', () => {
    const before = texturedPicture(320, 240);
    const after = redrawn(before, { redraw: (bgr) => bgr.map((_, index) => [200, 60, 60][index % 3] ?? 0) });
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

  it('fades into the face without a step', () => {
    const before: Picture = { width: 320, height: 240, data: new Uint8Array(320 * 240 * 1.5).fill(128) };
    const after = redrawn(before, { face: { ...face, height: 220 }, redraw: (bgr) => bgr.map((level) => level + 60) });
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

  it('is mixed with the clip as strongly as asked', () => {
    const before = texturedPicture(320, 240);
    const whole = redrawn(before, { redraw: inverted });
    const half = redrawn(before, { redraw: inverted, strength: 0.5 });
    for (let index = 0; index < before.data.length; index += 1) {
      const middle = ((before.data[index] ?? 0) + (whole.data[index] ?? 0)) / 2;
      expect(Math.abs((half.data[index] ?? 0) - middle)).toBeLessThanOrEqual(1.5);
    }
  });

  it.each([
    [40, 20, 24],
    [90, 700, 130],
  ])('is put back into a picture of %i lines when it is %i pixels high', (height, faceHeight, texture) => {
    const place = { x: 64, y: height / 2 - faceHeight * 0.2, height: faceHeight, roll: 0.1 };
    const before = texturedPicture(128, height, texture);
    const after = redrawn(before, { face: place, redraw: inverted });
    expect(after.data).not.toEqual(before.data);
    expect(Math.abs(meanChange(before, redrawn(before, { face: place }), 'luma', place))).toBeLessThan(1);
  });
});

describe('matching the shade', () => {
  const darker = (bgr: Uint8Array): Uint8Array =>
    bgr.map((level, index) => (level - 128) * 0.9 + 128 - ([6, 12, 18][index % 3] ?? 0));

  it('takes most of a difference of brightness, contrast and tint away', () => {
    const before = texturedPicture(320, 240);
    const paster = createFacePaster({ ...plain, colorMatch: true, cropSizePx: 96 });
    expect(Math.abs(meanChange(before, redrawn(before, { redraw: darker }), 'luma'))).toBeGreaterThan(5);
    expect(Math.abs(meanChange(before, redrawn(before, { redraw: darker, paster }), 'luma'))).toBeLessThan(1);
  });

  it('does not flicker: one odd frame hardly changes what was found, a new shot is looked at afresh', () => {
    const before = texturedPicture(320, 240);
    const paster = createFacePaster({ ...plain, colorMatch: true, cropSizePx: 96 });
    redrawn(before, { paster });
    const odd = redrawn(before, { redraw: darker, paster });
    expect(Math.abs(meanChange(before, odd, 'luma'))).toBeGreaterThan(4);
    paster.startShot();
    expect(Math.abs(meanChange(before, redrawn(before, { redraw: darker, paster }), 'luma'))).toBeLessThan(1);
  });

  it('does not turn a dark face into a bright one', () => {
    const before = texturedPicture(320, 240);
    const paster = createFacePaster({ ...plain, colorMatch: true, cropSizePx: 96 });
    const after = redrawn(before, { redraw: (bgr) => bgr.fill(0), paster });
    expect(meanChange(before, after, 'luma')).toBeLessThan(-60);
  });
});

describe('matching the sharpness', () => {
  it('gives a soft face back some of its detail, and never more than it had', () => {
    const place = { ...face, height: 120 };
    const before = texturedPicture(320, 240, 7);
    const soft = (bgr: Uint8Array): Uint8Array => blurred(bgr, 96);
    const paster = createFacePaster({ ...plain, sharpen: true, cropSizePx: 96 });
    const dull = roughness(redrawn(before, { face: place, redraw: soft }), place);
    const sharp = roughness(redrawn(before, { face: place, redraw: soft, paster }), place);
    expect(sharp).toBeGreaterThan(dull * 1.2);
    expect(sharp).toBeLessThan(roughness(before, place));
  });
});

/** Mean of each pixel and its eight neighbors. */
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
