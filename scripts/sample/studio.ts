/** Everything around the head: backdrop, neck, shoulders, clothes. */
import { createCanvas, Path2D, type Canvas, type SKRSContext2D } from '@napi-rs/canvas';
import { createRandom } from './drawing-math.ts';
import { paintGlow } from './paint-head.ts';

/** Size of the finished frame. */
export const FRAME = { width: 1280, height: 720 } as const;

/** Position of the origin of face space in the frame. */
export const HEAD_REST = { x: 640, y: 284 } as const;

/** Paints a studio wall out of focus: warm light, two soft lamps, darker edges. */
export function paintBackdrop(): Canvas {
  const canvas = createCanvas(FRAME.width, FRAME.height);
  const context = canvas.getContext('2d');
  const wall = context.createLinearGradient(0, 0, FRAME.width, FRAME.height);
  wall.addColorStop(0, '#5d7478');
  wall.addColorStop(0.5, '#41565d');
  wall.addColorStop(1, '#26343c');
  context.fillStyle = wall;
  context.fillRect(0, 0, FRAME.width, FRAME.height);
  context.save();
  context.filter = 'blur(26px)';
  context.fillStyle = 'rgba(20,30,36,0.42)';
  context.fillRect(905, -40, 300, 800);
  context.fillStyle = 'rgba(230,200,160,0.16)';
  for (const shelf of [150, 330, 510]) context.fillRect(925, shelf, 260, 16);
  context.restore();
  paintGlow(context, 330, 220, 620, 520, '236,214,184', 0.42);
  paintLamps(context);
  paintGlow(context, 1240, 760, 620, 460, '10,16,20', 0.55);
  return canvas;
}

function paintLamps(context: SKRSContext2D): void {
  const random = createRandom(5);
  context.save();
  context.filter = 'blur(7px)';
  for (let count = 0; count < 11; count++) {
    const x = 930 + 250 * random();
    const y = 90 + 420 * random();
    context.fillStyle = `rgba(255,${190 + 40 * random()},${130 + 60 * random()},${0.1 + 0.16 * random()})`;
    context.beginPath();
    context.arc(x, y, 9 + 17 * random(), 0, Math.PI * 2);
    context.fill();
  }
  context.restore();
}

/** Paints the neck from collar to jaw, in frame pixels; the caller shears it to follow the head. */
export function paintNeck(): Canvas {
  const canvas = createCanvas(FRAME.width, FRAME.height);
  const context = canvas.getContext('2d');
  const skin = context.createLinearGradient(560, 0, 722, 0);
  skin.addColorStop(0, '#c98f70');
  skin.addColorStop(0.24, '#d9a382');
  skin.addColorStop(0.55, '#bd8468');
  skin.addColorStop(0.85, '#8f5b47');
  skin.addColorStop(1, '#6d4337');
  context.fillStyle = skin;
  context.fill(
    new Path2D(
      'M566 380 C572 450 574 496 562 524 C550 548 520 562 478 574 L640 720 L802 574 C760 562 730 548 718 524 C706 496 708 450 714 380 Z',
    ),
  );
  context.globalCompositeOperation = 'source-atop';
  context.save();
  context.filter = 'blur(7px)';
  context.strokeStyle = 'rgba(90,44,34,0.36)';
  context.lineWidth = 9;
  context.stroke(new Path2D('M578 470 C588 520 604 560 628 590'));
  context.stroke(new Path2D('M700 470 C690 520 676 560 652 590'));
  context.strokeStyle = 'rgba(255,214,180,0.28)';
  context.stroke(new Path2D('M500 574 C550 566 590 574 622 596'));
  context.restore();
  paintGlow(context, 640, 604, 26, 22, '90,46,36', 0.45);
  return canvas;
}

/** Paints the soft shadow of the jaw on the neck, in frame pixels, for a head at rest. */
export function paintJawShadow(): Canvas {
  const canvas = createCanvas(FRAME.width, FRAME.height);
  const context = canvas.getContext('2d');
  context.filter = 'blur(13px)';
  context.fillStyle = 'rgba(70,30,24,0.78)';
  context.fill(new Path2D('M540 370 C548 440 596 496 652 506 C704 500 738 450 742 370 Z'));
  return canvas;
}

/** Paints a blazer over a light top, in frame pixels. */
export function paintClothes(): Canvas {
  const canvas = createCanvas(FRAME.width, FRAME.height);
  const context = canvas.getContext('2d');
  paintTop(context);
  paintBlazer(context);
  return canvas;
}

function paintTop(context: SKRSContext2D): void {
  const cloth = context.createLinearGradient(480, 560, 790, 640);
  cloth.addColorStop(0, '#f1e9dc');
  cloth.addColorStop(0.5, '#dfd3c3');
  cloth.addColorStop(1, '#a3968a');
  context.fillStyle = cloth;
  context.fill(
    new Path2D(
      'M500 580 C530 572 548 562 562 552 C584 604 612 624 640 624 C668 624 696 604 718 552 C732 562 750 572 780 580 L800 740 L480 740 Z',
    ),
  );
  context.save();
  context.filter = 'blur(1.2px)';
  context.strokeStyle = 'rgba(96,74,60,0.55)';
  context.lineWidth = 2.4;
  context.stroke(new Path2D('M558 568 C580 616 610 636 640 636 C670 636 700 616 722 568'));
  context.filter = 'blur(9px)';
  context.strokeStyle = 'rgba(110,90,76,0.34)';
  context.lineWidth = 12;
  context.stroke(new Path2D('M596 640 C604 670 600 700 590 730'));
  context.stroke(new Path2D('M690 636 C676 668 682 700 690 730'));
  context.restore();
}

const BLAZER_LEFT = 'M552 540 C530 556 490 566 420 584 C336 608 286 650 262 740 L618 740 C606 690 570 640 552 540 Z';
const BLAZER_RIGHT = 'M728 540 C750 556 790 566 860 584 C944 608 994 650 1018 740 L654 740 C668 690 710 640 728 540 Z';
const LAPEL_LEFT =
  'M552 540 C534 562 520 590 512 618 L544 640 L522 658 C548 700 584 730 606 742 L618 740 C606 690 570 640 552 540 Z';
const LAPEL_RIGHT =
  'M728 540 C746 562 760 590 768 618 L736 640 L758 658 C732 700 690 730 666 742 L654 740 C668 690 710 640 728 540 Z';

function paintBlazer(context: SKRSContext2D): void {
  const cloth = context.createLinearGradient(300, 580, 990, 680);
  cloth.addColorStop(0, '#3f5673');
  cloth.addColorStop(0.3, '#2f435c');
  cloth.addColorStop(0.62, '#22324a');
  cloth.addColorStop(1, '#141d2c');
  context.save();
  context.shadowColor = 'rgba(20,14,12,0.55)';
  context.shadowBlur = 14;
  context.fillStyle = cloth;
  context.fill(new Path2D(BLAZER_LEFT));
  context.fill(new Path2D(BLAZER_RIGHT));
  context.restore();
  context.save();
  context.filter = 'blur(12px)';
  context.strokeStyle = 'rgba(160,186,216,0.24)';
  context.lineWidth = 12;
  context.stroke(new Path2D('M300 660 C330 630 400 610 520 590'));
  context.strokeStyle = 'rgba(8,12,20,0.5)';
  context.stroke(new Path2D('M372 740 C380 700 384 680 376 660'));
  context.stroke(new Path2D('M908 740 C900 700 896 680 904 660'));
  context.restore();
  context.save();
  context.shadowColor = 'rgba(6,8,14,0.7)';
  context.shadowBlur = 9;
  context.fillStyle = cloth;
  for (const lapel of [LAPEL_LEFT, LAPEL_RIGHT]) context.fill(new Path2D(lapel));
  context.shadowColor = 'transparent';
  context.strokeStyle = 'rgba(150,176,206,0.3)';
  context.lineWidth = 1.1;
  for (const lapel of [LAPEL_LEFT, LAPEL_RIGHT]) context.stroke(new Path2D(lapel));
  context.restore();
}
