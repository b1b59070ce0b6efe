/** Composes the presenter: static layers are painted once, then one frame per pose. */
import { createCanvas, type Canvas } from '@napi-rs/canvas';
import { FACE_SPACE, TEXTURE_SCALE, type Pose } from './face-space.ts';
import { paintBrows, paintEyes } from './paint-eyes.ts';
import { fillHairCap, paintHairCap, paintHairFall } from './paint-hair.ts';
import { createFaceCanvas, fillEars, fillHeadShape, paintSkin } from './paint-head.ts';
import { paintMouth } from './paint-mouth.ts';
import { createHeadRenderer } from './relief.ts';
import { sculptHead } from './sculpt.ts';
import { FRAME, HEAD_REST, paintBackdrop, paintClothes, paintJawShadow, paintNeck } from './studio.ts';

/** Row of the frame at which the neck starts; everything above it leans with the head. */
const NECK_ROOT_Y = 560;
/** The relief extends beyond the paint, so that its steep edge does not affect the light of any pixel. */
const RIM_MARGIN = [
  [-3, 0],
  [3, 0],
  [0, -3],
  [0, 3],
] as const;

/**
 * Prepares a function that draws one frame of 1280×720. The next call reuses the returned canvas.
 */
export function createPresenter(): (pose: Pose) => Canvas {
  const backdrop = paintBackdrop();
  const clothes = paintClothes();
  const neck = paintNeck();
  const jawShadow = paintJawShadow();
  const hairFall = paintHairFall();
  const renderHead = createHeadRenderer(composeHead());
  const features = createFaceCanvas(TEXTURE_SCALE);
  const frame = createCanvas(FRAME.width, FRAME.height);
  const neckLayer = createCanvas(FRAME.width, FRAME.height);
  return (pose) => {
    const context = frame.getContext('2d');
    features.context.clearRect(FACE_SPACE.left, FACE_SPACE.top, FACE_SPACE.width, FACE_SPACE.height);
    paintEyes(features.context, pose);
    paintBrows(features.context, pose.browRaise);
    paintMouth(features.context, pose.mouth);
    context.drawImage(backdrop, 0, 0);
    drawWithHead(frame, hairFall, { ...pose, shiftX: pose.shiftX - 26 * pose.yaw, roll: pose.roll * 0.8 });
    context.drawImage(leanNeck(neckLayer, neck, jawShadow, pose), 0, -2.2 * pose.breath);
    drawBreathing(frame, clothes, pose);
    drawWithHead(frame, renderHead(pose, features.canvas), pose);
    return frame;
  };
}

/** Paints the static layers and computes the relief. */
function composeHead(): Parameters<typeof createHeadRenderer>[0] {
  const silhouette = createFaceCanvas(1);
  for (const [x, y] of RIM_MARGIN) {
    silhouette.context.translate(x, y);
    fillHeadShape(silhouette.context);
    fillHairCap(silhouette.context, '#000');
    silhouette.context.translate(-x, -y);
  }
  const still = paintSkin();
  const context = still.getContext('2d');
  const hair = paintHairCap();
  cutOutEars(hair);
  context.save();
  context.globalCompositeOperation = 'source-atop';
  context.filter = 'blur(7px)';
  context.translate(8, 12);
  fillHairCap(context, 'rgba(66,28,20,0.6)');
  context.restore();
  context.save();
  context.resetTransform();
  context.drawImage(hair, 0, 0);
  context.restore();
  return { relief: sculptHead(silhouette.canvas), still, hairShare: shareOf(hair) };
}

/** The hair is tucked behind the ears. */
function cutOutEars(hair: Canvas): void {
  const context = hair.getContext('2d');
  context.save();
  context.globalCompositeOperation = 'destination-out';
  fillEars(context);
  context.restore();
}

/** Alpha (0–1) of a texture, one value per unit of face space. */
function shareOf(texture: Canvas): Float32Array {
  const small = createCanvas(FACE_SPACE.width, FACE_SPACE.height);
  const context = small.getContext('2d');
  context.drawImage(texture, 0, 0, FACE_SPACE.width, FACE_SPACE.height);
  const pixels = context.getImageData(0, 0, FACE_SPACE.width, FACE_SPACE.height).data;
  return Float32Array.from(
    { length: FACE_SPACE.width * FACE_SPACE.height },
    (_, index) => (pixels[index * 4 + 3] ?? 0) / 255,
  );
}

/** Draws a picture in face space at the position of the head in this pose. */
function drawWithHead(frame: Canvas, picture: Canvas, pose: Pose): void {
  const context = frame.getContext('2d');
  context.save();
  context.translate(HEAD_REST.x + pose.shiftX, HEAD_REST.y + pose.shiftY - 2.2 * pose.breath);
  context.translate(0, 190);
  context.rotate(pose.roll);
  context.translate(0, -190);
  context.drawImage(picture, FACE_SPACE.left, FACE_SPACE.top, FACE_SPACE.width, FACE_SPACE.height);
  context.restore();
}

/** Shears the neck so that its top follows the head and its root stays on the shoulders. */
function leanNeck(layer: Canvas, neck: Canvas, jawShadow: Canvas, pose: Pose): Canvas {
  const context = layer.getContext('2d');
  context.clearRect(0, 0, FRAME.width, FRAME.height);
  const lean = (pose.shiftX + 30 * pose.yaw) / (HEAD_REST.y + 160 - NECK_ROOT_Y);
  context.save();
  context.transform(1, 0, lean, 1, -lean * NECK_ROOT_Y, 0);
  context.drawImage(neck, 0, 0);
  context.restore();
  context.save();
  context.globalCompositeOperation = 'source-atop';
  context.drawImage(jawShadow, pose.shiftX + 70 * pose.yaw, pose.shiftY + 55 * pose.pitch + 14 * pose.mouth.opening);
  context.restore();
  return layer;
}

/** The chest widens and lifts a little with each breath. */
function drawBreathing(frame: Canvas, clothes: Canvas, pose: Pose): void {
  const context = frame.getContext('2d');
  context.save();
  context.translate(FRAME.width / 2 + pose.shiftX * 0.18, FRAME.height);
  context.scale(1 + 0.005 * pose.breath, 1 + 0.012 * pose.breath);
  context.drawImage(clothes, -FRAME.width / 2, -FRAME.height);
  context.restore();
}
