/** Hair with a side parting: a cap that moves with the face, and hair behind the neck. */
import { Path2D, type Canvas, type SKRSContext2D } from '@napi-rs/canvas';
import { createRandom, mix, mixBezier, pointOnBezier, type Bezier } from './drawing-math.ts';
import { createFaceCanvas } from './paint-head.ts';
import { TEXTURE_SCALE } from './face-space.ts';

/** Curves from the hairline to the outline of the head. */
const SWEEPS: readonly { readonly hairline: Bezier; readonly crown: Bezier; readonly strands: number }[] = [
  {
    hairline: [
      [34, -136],
      [-28, -144],
      [-108, -116],
      [-120, 34],
    ],
    crown: [
      [38, -209],
      [-92, -230],
      [-166, -130],
      [-150, 118],
    ],
    strands: 2600,
  },
  {
    hairline: [
      [32, -136],
      [72, -142],
      [109, -104],
      [120, 34],
    ],
    crown: [
      [26, -209],
      [104, -228],
      [164, -130],
      [150, 118],
    ],
    strands: 1700,
  },
];

const FALLS: readonly { readonly inner: Bezier; readonly outer: Bezier }[] = [
  {
    inner: [
      [-70, -110],
      [-136, -20],
      [-120, 120],
      [-72, 192],
    ],
    outer: [
      [-96, -130],
      [-178, -60],
      [-182, 150],
      [-112, 208],
    ],
  },
  {
    inner: [
      [70, -110],
      [136, -20],
      [120, 120],
      [72, 192],
    ],
    outer: [
      [96, -130],
      [178, -60],
      [182, 150],
      [112, 208],
    ],
  },
];

/** Paints the cap of hair at texture scale, transparent over the skin. */
export function paintHairCap(): Canvas {
  const { canvas, context } = createFaceCanvas(TEXTURE_SCALE);
  const random = createRandom(11);
  fillHairCap(context, '#2a1710');
  for (const { hairline, crown, strands } of SWEEPS) {
    for (let count = 0; count < strands; count++) paintStrand(context, hairline, crown, random);
  }
  paintHairlineWisps(context, random);
  return canvas;
}

/** Fills the shape of the cap, for silhouettes and shadows. */
export function fillHairCap(context: SKRSContext2D, style: string): void {
  context.fillStyle = style;
  for (const { hairline, crown } of SWEEPS) {
    const [a, b, c, d] = crown;
    const [e, f, g, h] = hairline;
    context.fill(new Path2D(`M${a} C${b} ${c} ${d} L${h} C${g} ${f} ${e} Z`));
  }
}

/** Paints the hair behind neck and shoulders. */
export function paintHairFall(): Canvas {
  const { canvas, context } = createFaceCanvas(TEXTURE_SCALE);
  const random = createRandom(12);
  context.fillStyle = '#180d0a';
  context.fill(new Path2D('M-92 -130 C-172 -60 -174 146 -104 192 C-60 170 60 170 104 192 C174 146 172 -60 92 -130 Z'));
  for (const { inner, outer } of FALLS) {
    for (let count = 0; count < 1300; count++) paintStrand(context, inner, outer, random, 0.62);
  }
  return canvas;
}

function paintStrand(context: SKRSContext2D, from: Bezier, to: Bezier, random: () => number, brightness = 1): void {
  const across = random();
  const [a, b, c, d] = mixBezier(from, to, across);
  const jitter = (): number => (random() - 0.5) * 7;
  const strand: Bezier = [
    [a[0] + jitter() * 0.4, a[1] + jitter() * 0.4],
    [b[0] + jitter(), b[1] + jitter()],
    [c[0] + jitter(), c[1] + jitter()],
    [d[0] + jitter(), d[1] + jitter()],
  ];
  const start = random() * 0.35;
  const tone = brightness * mix(0.55, 1.25, random());
  strokeTapered(
    context,
    strand,
    start,
    Math.min(1, start + 0.55 + 0.45 * random()),
    tone,
    mix(0.7, 1.5, random()),
    across,
  );
}

/** Paints a strand in short pieces, each lit by its position on the curve of the head. */
function strokeTapered(
  context: SKRSContext2D,
  strand: Bezier,
  start: number,
  end: number,
  tone: number,
  width: number,
  across: number,
): void {
  const pieces = 9;
  context.lineCap = 'round';
  for (let piece = 0; piece < pieces; piece++) {
    const t = mix(start, end, piece / pieces);
    const [x, y] = pointOnBezier(strand, t);
    const [nextX, nextY] = pointOnBezier(strand, mix(start, end, (piece + 1) / pieces));
    const sheen = Math.exp(-(((t - 0.42 - 0.08 * across) / 0.13) ** 2)) + 0.45 * Math.exp(-(((t - 0.78) / 0.1) ** 2));
    const light = tone * (0.75 + 1.15 * sheen);
    context.strokeStyle = `rgba(${Math.min(255, 66 * light + 12)},${Math.min(255, 38 * light + 6)},${Math.min(255, 23 * light + 5)},0.55)`;
    context.lineWidth = width * Math.sin(Math.PI * mix(0.12, 0.9, piece / pieces)) + 0.25;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(nextX, nextY);
    context.stroke();
  }
}

/** Paints fine hairs over the edge, so that the hairline is not sharp. */
function paintHairlineWisps(context: SKRSContext2D, random: () => number): void {
  for (const { hairline, crown } of SWEEPS) {
    for (let count = 0; count < 260; count++) {
      const strand = mixBezier(hairline, crown, -0.05 + 0.09 * random());
      const start = random() * 0.75;
      strokeTapered(context, strand, start, Math.min(1, start + 0.1 + 0.2 * random()), 0.7, 0.6, 0);
    }
  }
}
