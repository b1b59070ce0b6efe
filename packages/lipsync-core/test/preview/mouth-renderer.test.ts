import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SilenceMode } from '../../src/contract/index.ts';
import { landmarkCount, type FaceFrame } from '../../src/face/face-types.ts';
import type { Picture } from '../../src/image/planes.ts';
import { MouthReferenceBuilder, type MouthReference } from '../../src/providers/preview/rendering/mouth-reference.ts';
import { MouthRenderer } from '../../src/providers/preview/rendering/mouth-renderer.ts';
import type { MouthShape } from '../../src/providers/preview/rendering/mouth-target.ts';
import { copyOf, drawFace, insidePixels, landmarksOf, plainFace, type DrawnFace } from './drawn-face.ts';

const closed: MouthShape = { open: 0, wide: 0, closure: 0, voiced: 1 };
/** Brighter than a painted tongue and darker than the drawn lips. */
const tongueLuma = 105;
const wideOpen: MouthShape = { ...closed, open: 1 };

function referenceOf(...faces: readonly DrawnFace[]): MouthReference {
  const builder = new MouthReferenceBuilder();
  for (const face of faces) builder.add(drawFace(face), landmarksOf(face));
  const reference = builder.finish();
  if (reference === undefined) throw new Error('The drawn faces give no reference.');
  return reference;
}

const reference = referenceOf(plainFace, { ...plainFace, opening: 0.3 });

function render(
  face: DrawnFace,
  shape: MouthShape,
  silenceMode: SilenceMode = 'generate',
): { before: Picture; after: Picture; written: number } {
  const before = drawFace(face);
  const after = copyOf(before);
  const written = new MouthRenderer({ reference, silenceMode }).render(after, landmarksOf(face), shape);
  return { before, after, written };
}

function differingBytes(left: Picture, right: Picture): number {
  return left.data.reduce((count, byte, index) => count + (byte === right.data[index] ? 0 : 1), 0);
}

function meanDifference(left: Picture, right: Picture): number {
  return left.data.reduce((sum, byte, index) => sum + Math.abs(byte - (right.data[index] ?? 0)), 0) / left.data.length;
}

describe('MouthRenderer on unchanged pixels', () => {
  it('Pixels above the nose base, beside the jaw and below the neck are unchanged.', () => {
    const { before, after } = render(plainFace, wideOpen);
    const { width, height, scale, x, y } = plainFace;
    const changed: string[] = [];
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        const outside = row < y || Math.abs(column - x) > scale * 0.75 || row > y + scale * 1.45;
        if (outside && before.data[row * width + column] !== after.data[row * width + column])
          changed.push(`${column}, ${row}`);
      }
    }
    expect(changed).toEqual([]);
    expect(differingBytes(before, after)).toBeGreaterThan(1000);
  });

  it('A closed mouth with a closed target shape is unchanged.', () => {
    const { before, after } = render(plainFace, closed);
    expect(meanDifference(before, after)).toBeLessThan(0.05);
  });

  it('A picture is unchanged without a face and with NaN landmarks or a NaN shape.', () => {
    const picture = drawFace(plainFace);
    const untouched = copyOf(picture);
    const renderer = new MouthRenderer({ reference, silenceMode: 'generate' });
    const broken: FaceFrame = {
      presence: 'found',
      points: landmarksOf(plainFace).points.map((value, index) => (index % 7 === 0 ? Number.NaN : value)),
    };
    expect(renderer.render(picture, { presence: 'absent', points: new Float32Array(0) }, wideOpen)).toBe(0);
    expect(renderer.render(picture, broken, wideOpen)).toBe(0);
    expect(renderer.render(picture, landmarksOf(plainFace), { ...wideOpen, open: Number.NaN })).toBe(0);
    expect(picture.data).toEqual(untouched.data);
  });

  it('A mouth that fades out changes less than a visible one, and a hidden mouth is unchanged.', () => {
    const changedBytes = (visibility: number): number => {
      const picture = drawFace(plainFace);
      const untouched = copyOf(picture);
      const renderer = new MouthRenderer({ reference, silenceMode: 'generate' });
      renderer.render(picture, landmarksOf(plainFace), wideOpen, visibility);
      return meanDifference(untouched, picture);
    };
    expect(changedBytes(0)).toBe(0);
    expect(changedBytes(0.4)).toBeGreaterThan(0);
    expect(changedBytes(0.4)).toBeLessThan(changedBytes(1) * 0.7);
  });

  it.each([
    ['interior', plainFace, wideOpen],
    ['line between its lips', { ...plainFace, opening: 0.3 }, closed],
  ] as const)('The mouth of a frame that a flash has made white gets no dark %s.', (_, face, shape) => {
    const picture = drawFace(face);
    const pixels = picture.width * picture.height;
    for (let index = 0; index < pixels; index += 1)
      picture.data[index] = Math.min(235, (picture.data[index] ?? 0) + 190);
    const darkest = (): number => picture.data.subarray(0, pixels).reduce((least, luma) => Math.min(least, luma), 255);
    const before = darkest();
    const renderer = new MouthRenderer({ reference, silenceMode: 'generate' });
    expect(renderer.render(picture, landmarksOf(face), shape)).toBeGreaterThan(0);
    expect(darkest()).toBeGreaterThan(before - 10);
  });

  it('A face in profile is unchanged, and a half-turned face changes less than a frontal one.', () => {
    const changedAtYaw = (yaw: number): number => {
      const picture = drawFace(plainFace);
      const before = copyOf(picture);
      new MouthRenderer({ reference, silenceMode: 'generate' }).render(
        picture,
        landmarksOf({ ...plainFace, yaw }),
        wideOpen,
      );
      return differingBytes(before, picture);
    };
    expect(changedAtYaw(1.3)).toBe(0);
    expect(changedAtYaw(0.75)).toBeLessThan(changedAtYaw(0));
  });
});

describe('MouthRenderer on drawn mouths', () => {
  it('The drawn opening grows with the open value.', () => {
    const inside = [0, 0.25, 0.5, 0.75, 1].map((open) =>
      insidePixels(render(plainFace, { ...closed, open }).after, plainFace),
    );
    expect(inside[0]).toBeLessThanOrEqual(1);
    expect(inside).toEqual(inside.toSorted((left, right) => left - right));
    expect(inside[4]).toBeGreaterThan(0.25 * 0.55 * plainFace.scale);
  });

  it('A mouth that is open in the clip is closed.', () => {
    const face = { ...plainFace, opening: 0.3 };
    const { before, after } = render(face, closed);
    expect(insidePixels(before, face)).toBeGreaterThan(15);
    expect(insidePixels(after, face)).toBeLessThanOrEqual(3);
  });

  it('A closure closes the mouth despite an open value.', () => {
    expect(
      insidePixels(render(plainFace, { open: 0.4, wide: 0, closure: 1, voiced: 1 }).after, plainFace),
    ).toBeLessThanOrEqual(1);
  });

  it('The mouth of a tilted head is opened.', () => {
    const face = { ...plainFace, roll: 0.5 };
    expect(insidePixels(render(face, wideOpen).after, face)).toBeGreaterThan(0.25 * 0.55 * face.scale);
  });

  it('A frame that shows teeth becomes the donor.', () => {
    expect(reference.donor).toBeDefined();
    expect(referenceOf(plainFace).donor).toBeUndefined();
  });

  it('The same face and shape give the same picture.', () => {
    const renderer = new MouthRenderer({ reference, silenceMode: 'generate' });
    const pictures = [0, 1, 2].map(() => {
      const picture = drawFace(plainFace);
      renderer.render(picture, landmarksOf(plainFace), { open: 0.4, wide: -0.3, closure: 0, voiced: 1 });
      return picture;
    });
    expect(pictures[1]?.data).toEqual(pictures[0]?.data);
    expect(pictures[2]?.data).toEqual(pictures[0]?.data);
  });

  it('A small change of the shape changes the picture little.', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 0.98, noNaN: true }),
        fc.double({ min: -1, max: 0.98, noNaN: true }),
        (open, wide) => {
          const here = render(plainFace, { open, wide, closure: 0, voiced: 1 }).after;
          const near = render(plainFace, { open: open + 0.02, wide: wide + 0.02, closure: 0, voiced: 1 }).after;
          expect(meanDifference(here, near)).toBeLessThan(0.35);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('Landmark jitter hardly moves a still face.', () => {
    const renderer = new MouthRenderer({ reference, silenceMode: 'generate' });
    const shape: MouthShape = { open: 0.5, wide: 0.2, closure: 0, voiced: 1 };
    const steady = drawFace(plainFace);
    renderer.render(steady, landmarksOf(plainFace), shape);
    const jittered = drawFace(plainFace);
    const points = landmarksOf(plainFace).points.map((value, index) => value + 0.3 * Math.sin(index * 12.9898));
    renderer.render(jittered, { presence: 'found', points }, shape);
    expect(meanDifference(steady, jittered)).toBeLessThan(0.25);
  });

  it('Changed pixels stay near the face at any position, inside and outside the picture.', () => {
    const size = { width: 128, height: 96 };
    const renderer = new MouthRenderer({ reference, silenceMode: 'generate' });
    const place = fc.record({
      x: fc.integer({ min: -100, max: 230 }),
      y: fc.integer({ min: -100, max: 200 }),
      scale: fc.integer({ min: 4, max: 80 }),
      roll: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
      yaw: fc.double({ min: -1, max: 1, noNaN: true }),
      opening: fc.double({ min: 0, max: 0.6, noNaN: true }),
      noise: fc.double({ min: 0, max: 0.1, noNaN: true }),
    });
    fc.assert(
      fc.property(place, fc.double({ min: -3, max: 3, noNaN: true }), ({ noise, ...face }, open) => {
        const points = landmarksOf({ ...size, ...face }).points.map(
          (value, index) => value + noise * face.scale * Math.sin(index * 12.9898),
        );
        const picture = { ...size, data: new Uint8Array(size.width * size.height * 1.5).fill(77) };
        const written = renderer.render(
          picture,
          { presence: 'interpolated', points },
          { open, wide: open, closure: 0, voiced: 1 },
        );
        expect(Number.isFinite(written)).toBe(true);
        for (let index = 0; index < size.width * size.height; index += 1) {
          if (picture.data[index] === 77) continue;
          const fromNose = Math.hypot((index % size.width) - face.x, Math.floor(index / size.width) - face.y);
          expect(fromNose).toBeLessThan(2.5 * face.scale + 4);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('MouthRenderer in pauses of the speech', () => {
  const face = { ...plainFace, opening: 0.3 };
  const pause: MouthShape = { open: 0.2, wide: 0, closure: 0, voiced: 0 };

  it('Mode keep leaves the clip unchanged in a pause.', () => {
    const { before, after } = render(face, pause, 'keep');
    expect(differingBytes(before, after)).toBe(0);
  });

  it('Mode keep fades the effect in with the speech.', () => {
    const changed = [0, 0.02, 0.5, 1].map((voiced) => {
      const { before, after } = render(face, { ...pause, open: 0, voiced }, 'keep');
      return meanDifference(before, after);
    });
    expect(changed).toEqual(changed.toSorted((left, right) => left - right));
    expect(changed[1]).toBeLessThan((changed[3] ?? 0) * 0.25);
  });

  it('Mode close closes the mouth in a pause.', () => {
    expect(insidePixels(render(face, pause, 'close').after, face)).toBeLessThanOrEqual(3);
  });

  it('Mode generate follows the curve in a pause.', () => {
    expect(insidePixels(render(face, { ...pause, open: 1 }, 'generate').after, face)).toBeGreaterThan(15);
  });
});

describe('MouthRenderer on clips whose lips are open throughout', () => {
  const openLips = { ...plainFace, opening: 0.07 };
  const pause: MouthShape = { open: 0, wide: 0, closure: 0, voiced: 0 };
  const rendererOf = (faces: readonly DrawnFace[]) =>
    new MouthRenderer({ reference: referenceOf(...faces), silenceMode: 'generate' });

  it('The lips are closed in a pause, without teeth or dark between them.', () => {
    const renderer = rendererOf([openLips, { ...openLips, opening: 0.075 }, { ...openLips, opening: 0.065 }]);
    const picture = drawFace(openLips);
    expect(insidePixels(picture, openLips)).toBeGreaterThanOrEqual(5);
    renderer.render(picture, landmarksOf(openLips), pause);
    expect(insidePixels(picture, openLips)).toBe(0);
  });

  it('The lips of a still picture are closed in a pause.', () => {
    const picture = drawFace(openLips);
    rendererOf([openLips]).render(picture, landmarksOf(openLips), pause);
    expect(insidePixels(picture, openLips)).toBe(0);
  });

  it('Lips that are open only in the landmarks are unchanged.', () => {
    const picture = drawFace(plainFace);
    const before = copyOf(picture);
    const builder = new MouthReferenceBuilder();
    builder.add(picture, landmarksOf(openLips));
    const reference = builder.finish();
    if (reference === undefined) throw new Error('The drawn face gives no reference.');
    new MouthRenderer({ reference, silenceMode: 'generate' }).render(picture, landmarksOf(openLips), pause);
    expect(meanDifference(before, picture)).toBeLessThan(0.05);
  });

  it('The lips are opened nearly as far as closed ones.', () => {
    const picture = drawFace(openLips);
    rendererOf([openLips]).render(picture, landmarksOf(openLips), wideOpen);
    // Tongue and lower teeth are painted, brighter than the dark behind them.
    const inside = insidePixels(picture, openLips, tongueLuma);
    expect(inside).toBeGreaterThan(0.8 * insidePixels(render(plainFace, wideOpen).after, plainFace, tongueLuma));
  });
});

describe('MouthReferenceBuilder', () => {
  it('A clip without a usable face has no reference.', () => {
    const builder = new MouthReferenceBuilder();
    builder.add(drawFace(plainFace), { presence: 'absent', points: new Float32Array(0) });
    builder.add(drawFace(plainFace), { presence: 'found', points: new Float32Array(landmarkCount * 3) });
    expect(builder.finish()).toBeUndefined();
  });

  it('The neutral mouth of a mostly open clip is closed.', () => {
    const faces = [0, 0.2, 0.3, 0.25].map((opening) => ({ ...plainFace, opening }));
    const { curves, width } = referenceOf(...faces).neutral;
    expect(width).toBeCloseTo(0.55, 1);
    expect(curves.innerLower).toEqual(curves.innerUpper);
  });
});
