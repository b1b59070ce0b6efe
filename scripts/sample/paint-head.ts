/** Static parts of the head: silhouette, skin, ears, nostrils. */
import { createCanvas, Path2D, type Canvas, type SKRSContext2D } from '@napi-rs/canvas';
import { createRandom } from './drawing-math.ts';
import { FACE_SPACE, TEXTURE_SCALE } from './face-space.ts';

/** Outline of the right half of the face from crown to chin; the left half is mirrored. */
const FACE_RIGHT =
  'M0 -196 C70 -196 121 -150 122 -70 C123 -30 122 0 119 28 C116 58 108 86 98 108 C88 130 70 152 50 168 C35 180 20 187 0 187 Z';
const FACE_LEFT =
  'M0 -196 C-70 -196 -121 -150 -122 -70 C-123 -30 -122 0 -120 29 C-117 60 -109 88 -99 110 C-89 132 -71 153 -51 169 C-36 180 -20 187 0 187 Z';
const EAR_RIGHT = 'M114 8 C124 -8 141 -4 141 20 C140 40 135 58 127 69 C121 75 114 72 110 62 Z';
const EAR_LEFT = 'M-114 8 C-124 -8 -141 -4 -141 20 C-140 40 -135 58 -127 69 C-121 75 -114 72 -110 62 Z';

/** Creates a canvas over face space whose context uses face space units. */
export function createFaceCanvas(scale: number): { readonly canvas: Canvas; readonly context: SKRSContext2D } {
  const canvas = createCanvas(FACE_SPACE.width * scale, FACE_SPACE.height * scale);
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  context.translate(-FACE_SPACE.left, -FACE_SPACE.top);
  return { canvas, context };
}

/** Fills both ears with the current fill style. */
export function fillEars(context: SKRSContext2D): void {
  for (const outline of [EAR_LEFT, EAR_RIGHT]) context.fill(new Path2D(outline));
}

/** Fills face and ears with the current fill style. */
export function fillHeadShape(context: SKRSContext2D): void {
  fillEars(context);
  for (const outline of [FACE_LEFT, FACE_RIGHT]) context.fill(new Path2D(outline));
}

/** Paints skin without eyes, eyebrows, lips and hair, at texture scale. */
export function paintSkin(): Canvas {
  const { canvas, context } = createFaceCanvas(TEXTURE_SCALE);
  context.fillStyle = '#dfae8e';
  fillHeadShape(context);
  context.globalCompositeOperation = 'source-atop';
  paintTones(context);
  paintMottle(context);
  paintEars(context);
  paintNose(context);
  paintFolds(context);
  context.globalCompositeOperation = 'source-over';
  return canvas;
}

/** Soft patches: x, y, horizontal spread, vertical spread, color, strength. */
const TONES: readonly (readonly [number, number, number, number, string, number])[] = [
  [0, -110, 110, 70, '235,190,150', 0.5],
  [-72, 62, 52, 44, '205,104,88', 0.3],
  [74, 62, 52, 44, '205,104,88', 0.3],
  [0, 66, 26, 24, '206,112,92', 0.4],
  [0, 172, 40, 26, '204,122,100', 0.3],
  [-52, 2, 46, 30, '150,88,78', 0.42],
  [52, 2, 46, 30, '150,88,78', 0.42],
  [-52, 22, 34, 12, '160,92,96', 0.3],
  [52, 22, 34, 12, '160,92,96', 0.3],
  [0, 126, 70, 38, '214,140,116', 0.35],
  [-104, 120, 40, 70, '176,118,92', 0.4],
  [104, 120, 40, 70, '176,118,92', 0.4],
  [0, 150, 34, 10, '150,84,70', 0.28],
];

function paintTones(context: SKRSContext2D): void {
  for (const [x, y, across, along, color, strength] of TONES) paintGlow(context, x, y, across, along, color, strength);
}

/** Paints an elliptical patch of color that fades to its edge. */
export function paintGlow(
  context: SKRSContext2D,
  x: number,
  y: number,
  across: number,
  along: number,
  color: string,
  strength: number,
): void {
  context.save();
  context.translate(x, y);
  context.scale(across, along);
  const gradient = context.createRadialGradient(0, 0, 0, 0, 0, 1);
  gradient.addColorStop(0, `rgba(${color},${strength})`);
  gradient.addColorStop(0.5, `rgba(${color},${strength * 0.55})`);
  gradient.addColorStop(1, `rgba(${color},0)`);
  context.fillStyle = gradient;
  context.fillRect(-1, -1, 2, 2);
  context.restore();
}

/** Paints pores and faint freckles, without which skin looks like plastic. */
function paintMottle(context: SKRSContext2D): void {
  const random = createRandom(7);
  const { left, top, width, height } = FACE_SPACE;
  for (let count = 0; count < 9000; count++) {
    const x = left + random() * width;
    const y = top + random() * height;
    context.fillStyle = random() < 0.5 ? 'rgba(120,60,40,0.045)' : 'rgba(255,225,200,0.05)';
    context.beginPath();
    context.arc(x, y, 0.5 + random() * 1.6, 0, Math.PI * 2);
    context.fill();
  }
  for (let count = 0; count < 90; count++) {
    const side = random() < 0.5 ? -1 : 1;
    const x = side * (12 + 78 * random());
    const y = 34 + 34 * random() * random() + 8 * random();
    context.fillStyle = `rgba(140,78,50,${0.1 + 0.16 * random()})`;
    context.beginPath();
    context.arc(x, y, 0.5 + random() * 0.8, 0, Math.PI * 2);
    context.fill();
  }
}

function paintEars(context: SKRSContext2D): void {
  for (const side of [-1, 1]) {
    context.save();
    context.scale(side, 1);
    paintGlow(context, 126, 34, 18, 38, '170,84,66', 0.5);
    context.filter = 'blur(1.6px)';
    context.strokeStyle = 'rgba(116,52,38,0.5)';
    context.lineWidth = 3.2;
    context.stroke(new Path2D('M120 20 C127 8 134 13 134 26 C133 40 128 50 123 54'));
    context.strokeStyle = 'rgba(96,40,30,0.42)';
    context.stroke(new Path2D('M114 66 C116 46 118 28 118 4'));
    context.filter = 'none';
    context.restore();
  }
}

function paintNose(context: SKRSContext2D): void {
  context.save();
  context.filter = 'blur(2.4px)';
  context.fillStyle = 'rgba(92,40,32,0.5)';
  context.fill(new Path2D('M-20 84 C-12 79 -6 84 0 86 C6 84 12 79 20 84 C12 92 6 91 0 92 C-6 91 -12 92 -20 84 Z'));
  context.filter = 'blur(1.6px)';
  context.fillStyle = 'rgba(52,18,16,0.92)';
  for (const side of [-1, 1]) {
    context.beginPath();
    context.ellipse(side * 9.6, 83.2, 5.4, 2.7, side * -0.22, 0, Math.PI * 2);
    context.fill();
  }
  context.filter = 'blur(2.6px)';
  context.strokeStyle = 'rgba(130,62,48,0.36)';
  context.lineWidth = 3;
  context.stroke(new Path2D('M-24 68 C-28 75 -26 83 -18 85'));
  context.stroke(new Path2D('M24 68 C28 75 26 83 18 85'));
  context.restore();
}

function paintFolds(context: SKRSContext2D): void {
  context.save();
  context.filter = 'blur(5px)';
  context.strokeStyle = 'rgba(140,72,56,0.34)';
  context.lineWidth = 4;
  context.stroke(new Path2D('M-28 80 C-40 90 -50 102 -54 116'));
  context.stroke(new Path2D('M28 80 C40 90 50 102 54 116'));
  context.filter = 'blur(3px)';
  context.strokeStyle = 'rgba(140,78,74,0.34)';
  context.lineWidth = 3;
  context.stroke(new Path2D('M-76 14 C-62 23 -44 24 -30 15'));
  context.stroke(new Path2D('M76 14 C62 23 44 24 30 15'));
  context.restore();
}
