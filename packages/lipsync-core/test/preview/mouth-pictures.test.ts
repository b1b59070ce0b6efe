import { describe, expect, it } from 'vitest';
import type { FaceFrame } from '../../src/face/face-types.ts';
import type { Picture } from '../../src/image/planes.ts';
import { createLipCurves, curveSamples } from '../../src/providers/preview/rendering/lip-curves.ts';
import { refineInnerLips } from '../../src/providers/preview/rendering/lip-edges.ts';
import { paintInterior } from '../../src/providers/preview/rendering/mouth-interior.ts';
import { MouthReferenceBuilder, type MouthReference } from '../../src/providers/preview/rendering/mouth-reference.ts';
import { MouthRenderer } from '../../src/providers/preview/rendering/mouth-renderer.ts';
import type { MouthShape } from '../../src/providers/preview/rendering/mouth-target.ts';
import { extractInterior } from '../../src/providers/preview/rendering/donor-interior.ts';
import {
  crOf,
  drawFace,
  insidePixels,
  landmarksOf,
  levels,
  lumaOf,
  plainFace,
  redness,
  type DrawnFace,
} from './drawn-face.ts';

const closed: MouthShape = { open: 0, wide: 0, closure: 0, voiced: 1 };
const openFace = { ...plainFace, opening: 0.3 };
const laughing = { ...openFace, mouthWidth: 0.7 };

interface Seen {
  readonly picture: Picture;
  readonly face: FaceFrame;
}

const seen = (drawn: DrawnFace, described = drawn): Seen => ({
  picture: drawFace(drawn),
  face: landmarksOf(described),
});

function referenceOf(...frames: readonly Seen[]): MouthReference {
  const builder = new MouthReferenceBuilder();
  for (const { picture, face } of frames) builder.add(picture, face);
  const reference = builder.finish();
  if (reference === undefined) throw new Error('The drawn faces give no reference.');
  return reference;
}

/** Landmarks that report the inner edge of the lower lip too low by `distance` pixels. */
function moveInnerLowerLip({ picture, face }: Seen, distance: number): Seen {
  const points = face.points.slice();
  for (const landmark of [95, 88, 178, 87, 14, 317, 402, 318, 324])
    points[landmark * 3 + 1] = (points[landmark * 3 + 1] ?? 0) + distance;
  return { picture, face: { ...face, points } };
}

/** Renders a frame of a clip that consists of `clip`. */
function render({ picture, face }: Seen, shape: MouthShape, ...clip: readonly Seen[]): Picture {
  const renderer = new MouthRenderer({ reference: referenceOf(...clip), silenceMode: 'generate' });
  renderer.render(picture, face, shape);
  return picture;
}

const talking = [seen(plainFace), seen(openFace)];

/** Values of luma down the middle of the mouth, from the upper lip to the chin. */
function centerLine(picture: Picture, face: DrawnFace): number[] {
  return Array.from({ length: Math.round(0.5 * face.scale) }, (_, step) =>
    lumaOf(picture, face, 0, 0.15 + step / face.scale),
  );
}

/** The largest difference of neighboring luma values in a rectangle, given in eye distances from the nose base. */
function steepest(picture: Picture, face: DrawnFace, [left, top, right, bottom]: readonly number[]): number {
  let steepest = 0;
  const x = (u = 0): number => Math.round(face.x + u * face.scale);
  const y = (v = 0): number => Math.round(face.y + v * face.scale);
  for (let row = y(top); row < y(bottom); row += 1) {
    for (let column = x(left); column < x(right); column += 1) {
      const level = picture.data[row * picture.width + column] ?? 0;
      const below = picture.data[(row + 1) * picture.width + column] ?? 0;
      const beside = picture.data[row * picture.width + column + 1] ?? 0;
      steepest = Math.max(steepest, Math.abs(below - level), Math.abs(beside - level));
    }
  }
  return steepest;
}

/** Softens luma with a moving mean in both directions. */
function soften({ width, height, data }: Picture, radius: number): Picture {
  const output = data.slice();
  for (const step of [1, width]) {
    const source = output.slice(0, width * height);
    for (let index = radius * step; index < width * height - radius * step; index += 1) {
      let sum = 0;
      for (let offset = -radius; offset <= radius; offset += 1) sum += source[index + offset * step] ?? 0;
      output[index] = Math.round(sum / (2 * radius + 1));
    }
  }
  return { width, height, data: output };
}

describe('The expression of the clip', () => {
  it('A mouth that laughs through the whole clip keeps a gap when the lips close.', () => {
    const clip = [seen(laughing), seen({ ...laughing, opening: 0.32 })];
    const after = render(seen(laughing), { ...closed, closure: 1 }, ...clip);
    expect(insidePixels(after, laughing)).toBeGreaterThan(6);
    expect(insidePixels(after, laughing)).toBeLessThan(0.7 * insidePixels(drawFace(laughing), laughing));
  });

  it('A laughing mouth stays wide when the speech rounds it.', () => {
    const after = render(seen(laughing), { ...closed, open: 0.2, wide: -0.6 }, ...talking);
    const lipColumns = Array.from({ length: 200 }, (_, index) => (index - 100) / 200).filter((u) =>
      Array.from({ length: 80 }, (_, step) => lumaOf(after, laughing, u, 0.2 + step / 200)).some((luma) => luma < 140),
    );
    expect(Math.max(...lipColumns) - Math.min(...lipColumns)).toBeGreaterThan(0.65 * 0.7);
  });

  it('No dark corner of the own mouth stays beside a narrower one.', () => {
    const frame = seen({ ...laughing, hasCornerShadow: true });
    const after = render(frame, { ...closed, open: 0.5, wide: -0.3 }, ...talking);
    const columns = Array.from({ length: 0.9 * laughing.scale }, (_, index) => {
      const u = index / laughing.scale - 0.45;
      return Array.from({ length: 60 }, (__, step) => lumaOf(after, laughing, u, 0.22 + step / laughing.scale));
    });
    const isDark = columns.map((column) => column.some((luma) => luma < 90));
    const opening = isDark.slice(isDark.indexOf(true), isDark.lastIndexOf(true) + 1);
    expect(opening.length).toBeGreaterThan(30);
    // A dark spot that is apart from the opening is a corner of the own mouth.
    expect(opening).not.toContain(false);
  });

  it('The dark line of the corner of hardly parted lips is kept.', () => {
    const parted = { ...plainFace, opening: 0.05, hasCornerShadow: true };
    const after = render(seen(parted), { ...closed, open: 0.15 }, seen(parted));
    const beside = Array.from({ length: 0.1 * parted.scale }, (_, index) => {
      const u = index / parted.scale - 0.35;
      return Math.min(
        ...Array.from({ length: 40 }, (__, step) => lumaOf(after, parted, u, 0.25 + step / parted.scale)),
      );
    });
    expect(Math.min(...beside)).toBeLessThan(90);
  });
});

describe('The interior of the mouth', () => {
  const wideOpen: MouthShape = { ...closed, open: 1 };

  /** The largest luma of what lies between the dark of the mouth and the lower lip. */
  function lowerTeethLuma(shape: MouthShape): number {
    const open = { ...openFace, showsLowerTeeth: true };
    const after = render(seen(plainFace), shape, seen(plainFace), seen(open));
    const line = centerLine(after, plainFace);
    const dark = line.findLastIndex((luma) => luma < 60);
    const lip = line.findIndex(
      (_, index) => index > dark && crOf(after, plainFace, 0, 0.15 + index / plainFace.scale) > 150,
    );
    return Math.max(...line.slice(dark, lip));
  }

  it('Lower teeth that the clip shows are shown above the lower lip.', () => {
    expect(lowerTeethLuma(wideOpen)).toBeGreaterThan(levels.cavity + 40);
  });

  it('Lower teeth that a laugh lights up stay darker than the upper ones in a speaking mouth, most of all in a narrow opening.', () => {
    expect(lowerTeethLuma(wideOpen)).toBeLessThan(0.75 * levels.teeth);
    expect(lowerTeethLuma({ ...closed, open: 0.35 })).toBeLessThan(0.8 * lowerTeethLuma(wideOpen));
  });

  it('The own upper teeth stay where they are when the upper lip comes down over them.', () => {
    const frame = seen(openFace);
    const lowerEdge = (picture: Picture): number => {
      const line = centerLine(picture, openFace);
      const teeth = line.findIndex((luma) => luma > levels.teeth - 15);
      return line.findIndex((luma, index) => index > teeth && luma < 110);
    };
    const before = lowerEdge(frame.picture);
    const after = render(frame, { ...closed, open: 0.45 }, ...talking);
    expect(Math.abs(lowerEdge(after) - before)).toBeLessThanOrEqual(1);
  });

  it('Drawn teeth do not shine through the own mouth when both open about equally.', () => {
    const frame = seen(openFace);
    // The own mouth shows no teeth in this frame.
    const { data } = frame.picture;
    for (let index = 0; index < frame.picture.width * frame.picture.height; index += 1)
      if (data[index] === levels.teeth) data[index] = levels.cavity;
    const line = centerLine(render(frame, { ...closed, open: 0.65 }, ...talking), openFace);
    expect(
      Math.max(
        ...line.slice(
          0,
          line.findLastIndex((luma) => luma < 60),
        ),
      ),
    ).toBeGreaterThan(levels.teeth - 5);
  });

  it('The dark of a laugh, which is a lit red, does not glow where it is drawn darker.', () => {
    const lit = seen(openFace);
    const { data, width, height } = lit.picture;
    for (let index = 0; index < width * height; index += 1) if (data[index] === levels.cavity) data[index] = 90;
    for (let index = width * height * 1.25; index < data.length; index += 1)
      if (data[index] === redness.cavity) data[index] = 158;
    const after = render(seen(plainFace), wideOpen, seen(plainFace), lit);
    const line = centerLine(after, plainFace);
    const darkest = line.indexOf(Math.min(...line));
    expect(line[darkest]).toBeLessThan(50);
    expect(crOf(after, plainFace, 0, 0.15 + darkest / plainFace.scale)).toBeLessThan(150);
  });

  it('Teeth of a few pixels, which blur with the lip above them, take their color from their brightest part.', () => {
    const small = { ...plainFace, width: 160, height: 160, x: 80, y: 70, scale: 64 };
    const open = { ...small, opening: 0.3 };
    const blurred = { picture: soften(drawFace(open), 1), face: landmarksOf(open) };
    const { neutral, donor } = referenceOf(seen(small), blurred);
    const upper = donor && extractInterior(donor, neutral)?.upper;
    const { columns = 0, rows = 0, luma = new Float32Array() } = upper ?? {};
    // The row at the height of the upper lip of the donor.
    const lip = Math.round(rows * 0.35);
    expect(luma[lip * columns + (columns >> 1)]).toBeGreaterThan(levels.teeth - 12);
  });

  it('Painted teeth are no sharper than the face.', () => {
    const picture = soften(drawFace(plainFace), 5);
    const soft = { picture, face: landmarksOf(plainFace) };
    const eyes = steepest(picture, plainFace, [-0.55, -0.85, 0.55, -0.4]);
    const after = render({ ...soft, picture: soften(drawFace(plainFace), 5) }, wideOpen, soft);
    expect(insidePixels(after, plainFace)).toBeGreaterThan(10);
    expect(steepest(after, plainFace, [-0.15, 0.15, 0.15, 0.65])).toBeLessThan(2 * eyes);
  });

  it('Teeth that fill the whole opening are taken from the clip.', () => {
    const bared = { ...plainFace, opening: 0.12 };
    expect(referenceOf(seen(bared)).donor).toBeDefined();
    expect(referenceOf(seen(plainFace)).donor).toBeUndefined();
  });

  it('The red of the lips of a small face stays when landmarks miss the inner edge.', () => {
    const small = { ...openFace, width: 160, height: 160, x: 80, y: 70, scale: 50, hasBrownRim: true };
    const frame = moveInnerLowerLip(seen(small), 0.035 * small.scale);
    const redPixels = ({ data, width, height }: Picture): number =>
      data.subarray(width * height * 1.25).filter((cr) => cr > 152).length;
    const before = redPixels(frame.picture);
    const after = redPixels(render(frame, { ...closed, open: 0.5 }, seen({ ...small, opening: 0 }), frame));
    expect(after).toBeGreaterThan(0.4 * before);
  });

  it('The lower lip of a wide open mouth is not taken for a tongue.', () => {
    // The landmarks report the inner edge within the lip.
    const low = moveInnerLowerLip(seen(openFace), 0.07 * openFace.scale);
    const { neutral, donor } = referenceOf(seen(plainFace), low);
    const interior = donor && extractInterior(donor, neutral);
    expect(interior?.upper).toBeDefined();
    expect(interior?.lower).toBeUndefined();
  });

  it('Soft edges of the lips do not cover the teeth in a narrow opening.', () => {
    const small = { ...plainFace, width: 160, height: 160, x: 80, y: 70, scale: 80 };
    const soft = (): Seen => ({ picture: soften(drawFace(small), 2), face: landmarksOf(small) });
    const line = centerLine(render(soft(), { ...closed, open: 0.2 }, soft()), small);
    // The rows between the middles of the lips.
    const gap = line.slice(12, 20);
    expect(Math.max(...gap) - Math.min(...gap)).toBeGreaterThan(22);
  });

  it('The gap between the lips reaches from the dark below the upper lip to the teeth above the lower one.', () => {
    const curves = createLipCurves();
    curves.left = 0;
    curves.right = 1;
    curves.outerUpper.fill(0);
    curves.innerUpper.fill(0.1);
    curves.innerLower.fill(0.2);
    curves.outerLower.fill(0.3);
    refineInnerLips(
      (_, down) => {
        if (down > 0.1 && down < 0.15) return { luma: 40, redness: 0.25 };
        // A blurred edge between dark and teeth has the luma of the lips.
        if (down >= 0.15 && down < 0.165) return { luma: 100, redness: 0.25 };
        if (down >= 0.165 && down < 0.2) return { luma: 190, redness: 0.05 };
        return { luma: 100, redness: 0.25 };
      },
      curves,
      0.025,
    );
    const middle = (curveSamples - 1) / 2;
    expect(curves.innerUpper[middle]).toBeCloseTo(0.1, 1.8);
    expect(curves.innerLower[middle]).toBeGreaterThan(0.19);
    expect(curves.innerLower[middle]).toBeLessThan(0.21);
  });

  it('A tongue of the color of the lips between two rows of teeth does not end the gap, and a reflection on a lip does not widen it.', () => {
    const curves = createLipCurves();
    curves.left = 0;
    curves.right = 1;
    curves.outerUpper.fill(0);
    curves.innerUpper.fill(0.1);
    curves.innerLower.fill(0.4);
    curves.outerLower.fill(0.56);
    const teeth = { luma: 190, redness: 0.05 };
    refineInnerLips((_, down) => {
      if (down > 0.12 && down < 0.2) return teeth;
      if (down >= 0.2 && down < 0.25) return { luma: 40, redness: 0.25 };
      if (down >= 0.3 && down < 0.38) return teeth;
      // A reflection.
      if (down > 0.43 && down < 0.46) return teeth;
      return { luma: 100, redness: 0.25 };
    }, curves);
    const middle = (curveSamples - 1) / 2;
    expect(curves.innerUpper[middle]).toBeCloseTo(0.12, 1.5);
    expect(curves.innerLower[middle]).toBeGreaterThan(0.36);
    expect(curves.innerLower[middle]).toBeLessThan(0.4);
  });

  it('Painted teeth of a sharp clip are set apart from each other.', () => {
    const skin = { luma: 190, cb: 116, cr: 140 };
    const { upper } = paintInterior(
      { skin, lip: { luma: 140, cb: 116, cr: 160 } },
      { mouthWidth: 0.5, edgeWidth: 0.011 },
    );
    const row = upper.luma.subarray(upper.columns * (upper.rows >> 1));
    const between = row[upper.columns >> 1] ?? 0;
    expect(between / Math.max(...row.subarray(0, upper.columns))).toBeLessThan(0.9);
  });
});
