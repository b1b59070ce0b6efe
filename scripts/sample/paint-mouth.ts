/** The mouth of one frame: lips, teeth, tongue and mouth cavity. */
import { Path2D, type SKRSContext2D } from '@napi-rs/canvas';
import { createRandom, mix } from './drawing-math.ts';
import { ANATOMY, type MouthShape } from './face-space.ts';

/** Outlines of a mouth in face space, used for its paint and its relief. */
type MouthOutline = {
  readonly halfWidth: number;
  readonly cornerY: number;
  readonly outerTop: number;
  readonly innerTop: number;
  readonly innerBottom: number;
  readonly outerBottom: number;
};

/** Drop of the chin at the widest opening, in pixels. */
export const JAW_DROP = 24;

export function outlineMouth({ opening, spread }: MouthShape): MouthOutline {
  const { mouthY } = ANATOMY;
  const fullness = 1 - 0.14 * Math.max(0, spread) + 0.12 * Math.max(0, -spread);
  const innerTop = mouthY + 1 - 3.5 * opening - 2 * Math.max(0, spread) * opening;
  const innerBottom = mouthY + 1.2 + 27 * opening;
  return {
    halfWidth: 46 + (spread > 0 ? 7 : 14) * spread - 4 * opening,
    cornerY: mouthY - 4.2 + 6.5 * opening - 1.5 * Math.max(0, spread),
    outerTop: innerTop - 11 * fullness,
    innerTop,
    innerBottom,
    outerBottom: innerBottom + mix(17.5, 15.5, opening) * fullness,
  };
}

/** Paints the mouth over the skin. */
export function paintMouth(context: SKRSContext2D, shape: MouthShape): void {
  const outline = outlineMouth(shape);
  const inside = new Path2D(innerPath(outline));
  paintLips(context, outline);
  if (shape.opening > 0.03) {
    context.save();
    context.clip(inside);
    paintCavity(context, outline);
    context.restore();
  }
  paintLipLine(context, outline, shape.opening);
}

function outerPath({ halfWidth: w, cornerY, outerTop, outerBottom }: MouthOutline): string {
  const peak = outerTop - 1.5;
  return (
    `M${-w} ${cornerY} C${-w * 0.72} ${mix(cornerY, peak, 0.55)} ${-w * 0.42} ${peak - 0.6} ${-w * 0.22} ${peak} ` +
    `C${-w * 0.12} ${peak + 0.6} ${-w * 0.06} ${outerTop + 3} 0 ${outerTop + 3} ` +
    `C${w * 0.06} ${outerTop + 3} ${w * 0.12} ${peak + 0.6} ${w * 0.22} ${peak} ` +
    `C${w * 0.42} ${peak - 0.6} ${w * 0.72} ${mix(cornerY, peak, 0.55)} ${w} ${cornerY} ` +
    `C${w * 0.78} ${mix(cornerY, outerBottom, 0.72)} ${w * 0.46} ${outerBottom + 0.8} 0 ${outerBottom} ` +
    `C${-w * 0.46} ${outerBottom + 0.8} ${-w * 0.78} ${mix(cornerY, outerBottom, 0.72)} ${-w} ${cornerY} Z`
  );
}

function upperSeam({ halfWidth, cornerY, innerTop }: MouthOutline): string {
  const w = halfWidth * 0.97;
  return (
    `M${-w} ${cornerY} C${-w * 0.66} ${mix(cornerY, innerTop, 0.9)} ${-w * 0.3} ${innerTop - 1} 0 ${innerTop + 1.6} ` +
    `C${w * 0.3} ${innerTop - 1} ${w * 0.66} ${mix(cornerY, innerTop, 0.9)} ${w} ${cornerY}`
  );
}

function innerPath(outline: MouthOutline): string {
  const { cornerY, innerBottom } = outline;
  const w = outline.halfWidth * 0.97;
  const side = mix(cornerY, innerBottom, 0.86);
  return `${upperSeam(outline)} C${w * 0.82} ${side} ${w * 0.42} ${innerBottom + 0.6} 0 ${innerBottom} C${-w * 0.42} ${innerBottom + 0.6} ${-w * 0.82} ${side} ${-w} ${cornerY} Z`;
}

function paintLips(context: SKRSContext2D, outline: MouthOutline): void {
  const { outerTop, outerBottom, innerTop, innerBottom, halfWidth, cornerY } = outline;
  const outer = new Path2D(outerPath(outline));
  const color = context.createLinearGradient(0, outerTop - 2, 0, outerBottom);
  const length = outerBottom - outerTop + 2;
  color.addColorStop(0, '#b0564f');
  color.addColorStop(Math.min(0.98, (innerTop - outerTop + 1) / length), '#8c3a3a');
  color.addColorStop(Math.min(0.985, (innerBottom - outerTop + 2) / length), '#a94d4b');
  color.addColorStop(0.99, '#c4706a');
  color.addColorStop(1, '#b9665f');
  context.save();
  context.filter = 'blur(1.1px)';
  context.fillStyle = color;
  context.fill(outer);
  context.restore();
  context.save();
  context.clip(outer);
  paintLipCreases(context, outline);
  context.filter = 'blur(2.4px)';
  context.fillStyle = 'rgba(255,214,204,0.42)';
  context.beginPath();
  context.ellipse(-6, mix(innerBottom, outerBottom, 0.42), halfWidth * 0.34, 2.3, 0, 0, Math.PI * 2);
  context.fill();
  context.fillStyle = 'rgba(80,26,26,0.4)';
  for (const side of [-1, 1]) {
    context.beginPath();
    context.ellipse(side * halfWidth, cornerY, 9, 5, 0, 0, Math.PI * 2);
    context.fill();
  }
  context.restore();
}

function paintLipCreases(context: SKRSContext2D, outline: MouthOutline): void {
  const random = createRandom(3);
  context.lineWidth = 0.7;
  for (let count = 0; count < 54; count++) {
    const x = (random() * 2 - 1) * outline.halfWidth * 0.86;
    const isUpper = random() < 0.4;
    const from = isUpper ? outline.innerTop : outline.innerBottom;
    const to = isUpper ? outline.outerTop : outline.outerBottom;
    context.strokeStyle = random() < 0.5 ? 'rgba(96,30,32,0.22)' : 'rgba(240,170,160,0.16)';
    context.beginPath();
    context.moveTo(x, from);
    context.quadraticCurveTo(x * 1.03, mix(from, to, 0.5), x * 1.1, mix(from, to, 0.4 + 0.5 * random()));
    context.stroke();
  }
}

function paintCavity(context: SKRSContext2D, outline: MouthOutline): void {
  const { innerTop, innerBottom, halfWidth } = outline;
  const depth = innerBottom - innerTop;
  const dark = context.createLinearGradient(0, innerTop, 0, innerBottom);
  dark.addColorStop(0, '#2a0d0e');
  dark.addColorStop(0.6, '#1d0809');
  dark.addColorStop(1, '#4a191a');
  context.fillStyle = dark;
  context.fillRect(-halfWidth, innerTop - 6, halfWidth * 2, depth + 14);
  context.save();
  context.filter = 'blur(1.6px)';
  context.fillStyle = '#9c4a4c';
  context.beginPath();
  context.ellipse(0, innerBottom + 5, halfWidth * 0.58, 5 + depth * 0.36, 0, 0, Math.PI * 2);
  context.fill();
  context.restore();
  paintTeeth(context, outline);
}

/** Paints the upper teeth, which do not move with the lower jaw. Each is narrower than the one before. */
function paintTeeth(context: SKRSContext2D, { innerTop, halfWidth, innerBottom }: MouthOutline): void {
  const bite = Math.min(ANATOMY.mouthY + 8.5, innerTop + 11.5);
  const edge = new Path2D();
  let x = 0;
  context.save();
  context.filter = 'blur(0.7px)';
  for (const [index, width] of [8.6, 7, 7.4, 6.4, 5.8].entries()) {
    const drop = index === 1 ? 0.9 : index * 0.4;
    for (const side of [-1, 1]) {
      edge.roundRect(
        side > 0 ? x : -x - width,
        innerTop - 8,
        width - 0.2,
        bite - innerTop + 8 - drop,
        [0, 0, 2.2, 2.2],
      );
    }
    x += width;
  }
  const enamel = context.createLinearGradient(-halfWidth * 0.9, 0, halfWidth * 0.9, 0);
  for (const [stop, tone] of [
    [0, '#5d4038'],
    [0.25, '#c9b7a6'],
    [0.45, '#f2e8dc'],
    [0.58, '#efe4d8'],
    [0.78, '#bba897'],
    [1, '#4a322d'],
  ] as const) {
    enamel.addColorStop(stop, tone);
  }
  context.fillStyle = enamel;
  context.fill(edge);
  if (innerBottom - innerTop > 18) {
    context.fillStyle = 'rgba(196,178,162,0.75)';
    context.beginPath();
    context.ellipse(0, innerBottom + 1.5, halfWidth * 0.5, 5, 0, 0, Math.PI * 2);
    context.fill();
  }
  context.filter = 'blur(2px)';
  context.fillStyle = 'rgba(40,10,10,0.5)';
  context.fillRect(-halfWidth, innerTop - 8, halfWidth * 2, 10.5);
  context.restore();
}

function paintLipLine(context: SKRSContext2D, outline: MouthOutline, opening: number): void {
  context.save();
  context.filter = 'blur(0.8px)';
  context.strokeStyle = `rgba(60,16,18,${mix(0.85, 0.5, Math.min(1, opening * 4))})`;
  context.lineWidth = 2;
  context.stroke(new Path2D(upperSeam(outline)));
  context.restore();
}
