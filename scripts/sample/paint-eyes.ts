/** Eyes and eyebrows of one frame, painted in face space. */
import { Path2D, type SKRSContext2D } from '@napi-rs/canvas';
import { createRandom, mix } from './drawing-math.ts';
import { ANATOMY, type Pose } from './face-space.ts';

const IRIS_RADIUS = 12.6;

/** Paints both eyes. The right one is the mirrored left one, slightly smaller, because faces are asymmetric. */
export function paintEyes(context: SKRSContext2D, pose: Pose): void {
  for (const side of [-1, 1]) {
    context.save();
    context.translate(side * ANATOMY.eyeX, side > 0 ? 0.6 : 0);
    context.scale(side, side > 0 ? 0.98 : 1);
    paintEye(context, pose, side);
    context.restore();
  }
}

/** Paints an eye with its outer corner towards +x. */
function paintEye(context: SKRSContext2D, pose: Pose, side: number): void {
  const upper = mix(9.5, -16.5, pose.eyeOpening);
  const lower = mix(12.5, 13.5, pose.eyeOpening);
  const upperLid = `M-27 5 C-19 ${upper} 12 ${upper - 2} 29 0`;
  const opening = new Path2D(`${upperLid} C20 ${lower - 1} -8 ${lower + 1} -27 5 Z`);
  paintLid(context, upper, upperLid);
  context.save();
  context.clip(opening);
  paintSclera(context);
  paintIris(context, side * pose.gazeX, pose.gazeY, side);
  paintLidShadow(context, upperLid);
  context.restore();
  paintLashes(context, upper, lower, upperLid);
}

function paintLid(context: SKRSContext2D, upper: number, upperLid: string): void {
  context.save();
  context.filter = 'blur(1.2px)';
  context.fillStyle = 'rgba(178,112,92,0.75)';
  context.fill(new Path2D(`M-28 5 C-20 -21 14 -24 32 -2 L29 0 C12 ${upper - 2} -19 ${upper} -27 5 Z`));
  context.filter = 'blur(0.9px)';
  context.strokeStyle = 'rgba(92,44,36,0.62)';
  context.lineWidth = 1.8;
  const crease = -21;
  context.stroke(new Path2D(`M-25 -3 C-16 ${crease} 14 ${crease - 2} 33 -4`));
  context.strokeStyle = 'rgba(60,30,26,0.28)';
  context.lineWidth = 5;
  context.stroke(new Path2D(upperLid));
  context.restore();
}

function paintSclera(context: SKRSContext2D): void {
  const white = context.createRadialGradient(2, 2, 4, 0, 2, 30);
  white.addColorStop(0, '#f6efe9');
  white.addColorStop(0.6, '#eadcd3');
  white.addColorStop(1, '#c99b8c');
  context.fillStyle = white;
  context.fillRect(-34, -28, 70, 56);
  context.fillStyle = 'rgba(196,104,96,0.75)';
  context.beginPath();
  context.ellipse(-25, 5, 4.2, 3, 0, 0, Math.PI * 2);
  context.fill();
}

function paintIris(context: SKRSContext2D, x: number, y: number, side: number): void {
  context.save();
  context.translate(x, y - 0.8);
  const ring = context.createRadialGradient(0, 3, 3, 0, 0, IRIS_RADIUS);
  ring.addColorStop(0, '#a8814a');
  ring.addColorStop(0.45, '#7d6a3d');
  ring.addColorStop(0.8, '#4d5236');
  ring.addColorStop(1, '#1d211c');
  context.fillStyle = ring;
  disc(context, 0, 0, IRIS_RADIUS);
  paintIrisFibres(context);
  context.fillStyle = '#0c0908';
  disc(context, 0, 0, 5.6);
  context.fillStyle = 'rgba(255,255,255,0.95)';
  disc(context, side * -4.6, -4.8, 2.7);
  context.fillStyle = 'rgba(220,235,255,0.4)';
  disc(context, side * 5, 5, 2.2);
  context.restore();
}

function paintIrisFibres(context: SKRSContext2D): void {
  const random = createRandom(21);
  context.lineWidth = 0.5;
  for (let count = 0; count < 46; count++) {
    const angle = random() * Math.PI * 2;
    context.strokeStyle = random() < 0.5 ? 'rgba(226,190,120,0.3)' : 'rgba(20,16,8,0.32)';
    context.beginPath();
    context.moveTo(Math.cos(angle) * 6, Math.sin(angle) * 6);
    context.lineTo(Math.cos(angle) * 12, Math.sin(angle) * 12);
    context.stroke();
  }
}

function paintLidShadow(context: SKRSContext2D, upperLid: string): void {
  context.filter = 'blur(2.6px)';
  context.strokeStyle = 'rgba(44,20,18,0.62)';
  context.lineWidth = 9;
  context.stroke(new Path2D(upperLid));
  context.filter = 'none';
}

function paintLashes(context: SKRSContext2D, upper: number, lower: number, upperLid: string): void {
  context.lineCap = 'round';
  context.fillStyle = 'rgba(30,16,14,0.95)';
  context.fill(new Path2D(`${upperLid} L32.5 -2.4 C14 ${upper - 5.4} -18 ${upper - 2.6} -27 5 Z`));
  context.strokeStyle = 'rgba(26,14,12,0.55)';
  context.lineWidth = 0.8;
  const closed = (upper + 16.5) / 26;
  for (let lash = 0; lash < 16; lash++) {
    const t = 0.22 + (0.76 * lash) / 15;
    const x = mix(-27, 30, t) + 1;
    const y = (1 - t) ** 3 * 5 + 3 * (1 - t) ** 2 * t * upper + 3 * (1 - t) * t * t * (upper - 2);
    const reach = mix(2, 5.6, t);
    context.beginPath();
    context.moveTo(x, y);
    context.quadraticCurveTo(
      x + reach * 0.2,
      y - reach * mix(0.7, -0.5, closed),
      x + reach * 0.7,
      y - reach * mix(0.9, -0.6, closed),
    );
    context.stroke();
  }
  context.strokeStyle = 'rgba(110,56,48,0.55)';
  context.lineWidth = 1.1;
  context.stroke(new Path2D(`M29 0.5 C20 ${lower - 0.4} -8 ${lower + 1.6} -25 6`));
}

/** Paints both eyebrows, one stroke per hair. */
export function paintBrows(context: SKRSContext2D, browRaise: number): void {
  for (const side of [-1, 1]) {
    const random = createRandom(side + 40);
    context.save();
    context.translate(0, -browRaise + (side > 0 ? -1 : 0));
    context.scale(side, 1);
    context.translate(0, 2.6);
    context.rotate(-0.075);
    context.filter = 'blur(2.2px)';
    context.fillStyle = 'rgba(70,40,26,0.62)';
    context.fill(new Path2D('M23 -33 C42 -44 66 -49 93 -32 C66 -41 44 -36 24 -25 Z'));
    context.filter = 'none';
    context.lineCap = 'round';
    for (let count = 0; count < 300; count++) paintBrowHair(context, random);
    context.restore();
  }
}

function paintBrowHair(context: SKRSContext2D, random: () => number): void {
  const t = random();
  const thickness = 12 * (1 - 0.82 * t) * Math.min(1, 0.55 + t * 3);
  const x = mix(24, 91, t);
  const arch = -31.5 - 13 * Math.sin(Math.PI * Math.min(1, t * 0.86 + 0.03) ** 0.9) + 6 * t;
  const y = arch + (random() - 0.25) * thickness;
  const length = mix(6, 9, random());
  const slope = mix(-0.7, 0.32, Math.min(1, t * 1.35));
  context.strokeStyle = `rgba(${46 + 22 * random()},${26 + 14 * random()},16,0.36)`;
  context.lineWidth = 0.8 + 0.5 * random();
  context.beginPath();
  context.moveTo(x, y);
  context.quadraticCurveTo(x + length * 0.6, y + slope * length * 0.65, x + length, y + slope * length * 0.7);
  context.stroke();
}

function disc(context: SKRSContext2D, x: number, y: number, radius: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, Math.PI * 2);
  context.fill();
}
