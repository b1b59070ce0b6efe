import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SilenceMode } from '../../src/contract/index.ts';
import { landmarkCount, type FaceFrame } from '../../src/face/face-types.ts';
import type { Picture } from '../../src/media/media-types.ts';
import {
  createMouthRenderer,
  MouthReferenceBuilder,
  type MouthAim,
  type MouthReference,
} from '../../src/providers/preview/rendering/index.ts';
import { copyOf, drawFace, insidePixels, landmarksOf, plainFace, type DrawnFace } from './drawn-face.ts';

const closed: MouthAim = { open: 0, wide: 0, closure: 0, voiced: 1 };
const wideOpen: MouthAim = { ...closed, open: 1 };

function referenceOf(...faces: readonly DrawnFace[]): MouthReference {
  const builder = new MouthReferenceBuilder();
  for (const face of faces) builder.add(drawFace(face), landmarksOf(face));
  const reference = builder.finish();
  if (reference === undefined) throw new Error('The drawn faces gave no reference.');
  return reference;
}

const reference = referenceOf(plainFace, { ...plainFace, opening: 0.3 });

function render(
  face: DrawnFace,
  aim: MouthAim,
  silenceMode: SilenceMode = 'generate',
): { before: Picture; after: Picture; written: number } {
  const before = drawFace(face);
  const after = copyOf(before);
  const written = createMouthRenderer({ reference, silenceMode }).render(after, landmarksOf(face), aim);
  return { before, after, written };
}

function differingBytes(left: Picture, right: Picture): number {
  return left.data.reduce((count, byte, index) => count + (byte === right.data[index] ? 0 : 1), 0);
}

function meanDifference(left: Picture, right: Picture): number {
  return left.data.reduce((sum, byte, index) => sum + Math.abs(byte - (right.data[index] ?? 0)), 0) / left.data.length;
}

describe('what the renderer leaves alone', () => {
  it('changes nothing above the nose base, beside the jaw or below the neck', () => {
    const { before, after } = render(plainFace, wideOpen);
    const { width, height, scale, x, y } = plainFace;
    const strayed: string[] = [];
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        const outside = row < y || Math.abs(column - x) > scale * 0.75 || row > y + scale * 1.45;
        if (outside && before.data[row * width + column] !== after.data[row * width + column])
          strayed.push(`${column}, ${row}`);
      }
    }
    expect(strayed).toEqual([]);
    expect(differingBytes(before, after)).toBeGreaterThan(1000);
  });

  it('leaves a closed mouth that is to stay closed as it is', () => {
    const { before, after } = render(plainFace, closed);
    expect(meanDifference(before, after)).toBeLessThan(0.05);
  });

  it('touches no picture without a face, with landmarks that are not numbers, or with an aim that is not', () => {
    const picture = drawFace(plainFace);
    const untouched = copyOf(picture);
    const renderer = createMouthRenderer({ reference, silenceMode: 'generate' });
    const broken: FaceFrame = {
      presence: 'found',
      points: landmarksOf(plainFace).points.map((value, index) => (index % 7 === 0 ? Number.NaN : value)),
    };
    expect(renderer.render(picture, { presence: 'absent', points: new Float32Array(0) }, wideOpen)).toBe(0);
    expect(renderer.render(picture, broken, wideOpen)).toBe(0);
    expect(renderer.render(picture, landmarksOf(plainFace), { ...wideOpen, open: Number.NaN })).toBe(0);
    expect(picture.data).toEqual(untouched.data);
  });

  it('touches no face in profile and moves one half turned less than one that faces the camera', () => {
    const turnedBy = (yaw: number): number => {
      const picture = drawFace(plainFace);
      const before = copyOf(picture);
      createMouthRenderer({ reference, silenceMode: 'generate' }).render(
        picture,
        landmarksOf({ ...plainFace, yaw }),
        wideOpen,
      );
      return differingBytes(before, picture);
    };
    expect(turnedBy(1.3)).toBe(0);
    expect(turnedBy(0.75)).toBeLessThan(turnedBy(0));
  });
});

describe('the mouth that is drawn', () => {
  it('opens a closed mouth wider the more the curve asks for', () => {
    const inside = [0, 0.25, 0.5, 0.75, 1].map((open) =>
      insidePixels(render(plainFace, { ...closed, open }).after, plainFace),
    );
    expect(inside[0]).toBeLessThanOrEqual(1);
    expect(inside).toEqual(inside.toSorted((left, right) => left - right));
    expect(inside[4]).toBeGreaterThan(0.25 * 0.55 * plainFace.scale);
  });

  it('closes a mouth that is open in the clip', () => {
    const face = { ...plainFace, opening: 0.3 };
    const { before, after } = render(face, closed);
    expect(insidePixels(before, face)).toBeGreaterThan(15);
    expect(insidePixels(after, face)).toBeLessThanOrEqual(3);
  });

  it('closes an open mouth on p, b and m', () => {
    expect(
      insidePixels(render(plainFace, { open: 0.4, wide: 0, closure: 1, voiced: 1 }).after, plainFace),
    ).toBeLessThanOrEqual(1);
  });

  it('follows a tilted head', () => {
    const face = { ...plainFace, roll: 0.5 };
    expect(insidePixels(render(face, wideOpen).after, face)).toBeGreaterThan(0.25 * 0.55 * face.scale);
  });

  it('takes the teeth from a frame of the clip that shows them', () => {
    expect(reference.donor).toBeDefined();
    expect(referenceOf(plainFace).donor).toBeUndefined();
  });

  it('draws the same picture for the same face and aim', () => {
    const renderer = createMouthRenderer({ reference, silenceMode: 'generate' });
    const pictures = [0, 1, 2].map(() => {
      const picture = drawFace(plainFace);
      renderer.render(picture, landmarksOf(plainFace), { open: 0.4, wide: -0.3, closure: 0, voiced: 1 });
      return picture;
    });
    expect(pictures[1]?.data).toEqual(pictures[0]?.data);
    expect(pictures[2]?.data).toEqual(pictures[0]?.data);
  });

  it('changes little when the aim changes little', () => {
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

  it('hardly moves a still face when its landmarks tremble', () => {
    const renderer = createMouthRenderer({ reference, silenceMode: 'generate' });
    const aim: MouthAim = { open: 0.5, wide: 0.2, closure: 0, voiced: 1 };
    const steady = drawFace(plainFace);
    renderer.render(steady, landmarksOf(plainFace), aim);
    const trembling = drawFace(plainFace);
    const points = landmarksOf(plainFace).points.map((value, index) => value + 0.3 * Math.sin(index * 12.9898));
    renderer.render(trembling, { presence: 'found', points }, aim);
    expect(meanDifference(steady, trembling)).toBeLessThan(0.25);
  });

  it('stays near the face wherever its landmarks lie, also partly or wholly outside the picture', () => {
    const size = { width: 128, height: 96 };
    const renderer = createMouthRenderer({ reference, silenceMode: 'generate' });
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

describe('pauses of the speech', () => {
  const face = { ...plainFace, opening: 0.3 };
  const pause: MouthAim = { open: 0.2, wide: 0, closure: 0, voiced: 0 };

  it('keep: leaves the clip as it is', () => {
    const { before, after } = render(face, pause, 'keep');
    expect(differingBytes(before, after)).toBe(0);
  });

  it('keep: comes in gradually with the speech', () => {
    const changed = [0, 0.02, 0.5, 1].map((voiced) => {
      const { before, after } = render(face, { ...pause, open: 0, voiced }, 'keep');
      return meanDifference(before, after);
    });
    expect(changed).toEqual(changed.toSorted((left, right) => left - right));
    expect(changed[1]).toBeLessThan((changed[3] ?? 0) * 0.25);
  });

  it('close: shuts the mouth whatever the curve says', () => {
    expect(insidePixels(render(face, pause, 'close').after, face)).toBeLessThanOrEqual(3);
  });

  it('generate: follows the curve', () => {
    expect(insidePixels(render(face, { ...pause, open: 1 }, 'generate').after, face)).toBeGreaterThan(15);
  });
});

describe('a clip whose lips are parted throughout', () => {
  const parted = { ...plainFace, opening: 0.07 };
  const pause: MouthAim = { open: 0, wide: 0, closure: 0, voiced: 0 };
  const of = (faces: readonly DrawnFace[]) =>
    createMouthRenderer({ reference: referenceOf(...faces), silenceMode: 'generate' });

  it('shows them closed in a pause, without teeth or dark between them', () => {
    const renderer = of([parted, { ...parted, opening: 0.075 }, { ...parted, opening: 0.065 }]);
    const picture = drawFace(parted);
    expect(insidePixels(picture, parted)).toBeGreaterThanOrEqual(5);
    renderer.render(picture, landmarksOf(parted), pause);
    expect(insidePixels(picture, parted)).toBe(0);
  });

  it('does so in a still, too', () => {
    const picture = drawFace(parted);
    of([parted]).render(picture, landmarksOf(parted), pause);
    expect(insidePixels(picture, parted)).toBe(0);
  });

  it('leaves lips as they are that only the landmarks call parted', () => {
    const picture = drawFace(plainFace);
    const before = copyOf(picture);
    const builder = new MouthReferenceBuilder();
    builder.add(picture, landmarksOf(parted));
    const reference = builder.finish();
    if (reference === undefined) throw new Error('The drawn face gave no reference.');
    createMouthRenderer({ reference, silenceMode: 'generate' }).render(picture, landmarksOf(parted), pause);
    expect(meanDifference(before, picture)).toBeLessThan(0.05);
  });

  it('opens them nearly as far as closed ones', () => {
    const picture = drawFace(parted);
    of([parted]).render(picture, landmarksOf(parted), wideOpen);
    const inside = insidePixels(picture, parted);
    expect(inside).toBeGreaterThan(0.8 * insidePixels(render(plainFace, wideOpen).after, plainFace));
  });
});

describe('the reference', () => {
  it('is undefined for a clip without a usable face', () => {
    const builder = new MouthReferenceBuilder();
    builder.add(drawFace(plainFace), { presence: 'absent', points: new Float32Array(0) });
    builder.add(drawFace(plainFace), { presence: 'found', points: new Float32Array(landmarkCount * 3) });
    expect(builder.finish()).toBeUndefined();
  });

  it('finds the closed mouth of a clip that is mostly open', () => {
    const faces = [0, 0.2, 0.3, 0.25].map((opening) => ({ ...plainFace, opening }));
    const { curves, width } = referenceOf(...faces).neutral;
    expect(width).toBeCloseTo(0.55, 1);
    expect(curves.innerLower).toEqual(curves.innerUpper);
  });
});
