import { regionOfBox, regionOfMesh } from '../face/face-regions.ts';
import { createFaceDetector, type FaceDetector, type FaceMesh, type FaceRegion } from '../face/index.ts';
import { colorMatrixOf } from '../image/color-matrix.ts';
import { planesOf, type Picture } from '../image/planes.ts';
import {
  framesPerSecond,
  openFrames,
  probeVideo,
  readMonoSound,
  shiftSound,
  type ColorTags,
  type ExpectedPicture,
  type MediaLimits,
} from '../media/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { FingerprintBuilder, type Fingerprint } from './fingerprint.ts';

export interface FingerprintVideoInput {
  readonly path: string;
  readonly limits: MediaLimits;
  /** As for `probeVideo`. */
  readonly expectedPicture?: ExpectedPicture | undefined;
}

/** Frames per second that are read, and the time for which a located face stands. */
const readRate = 5;
const faceIntervalMs = 1_000;
/** Longer side of the picture in which a face is detected. */
const detectedSide = 320;

/** Makes the fingerprint of an output that was not assessed. Throws the errors of probing and decoding. */
export async function fingerprintVideoTask(
  { path, limits, expectedPicture }: FingerprintVideoInput,
  { signal, resources }: Pick<RenderTaskContext, 'signal' | 'resources'>,
): Promise<Fingerprint> {
  const { picture: facts, sound: track } = await probeVideo(path, { limits, signal }, expectedPicture);
  const faces = new FaceLocation(await resources.get(createFaceDetector), facts.color);
  const builder = new FingerprintBuilder();
  const rate = framesPerSecond(facts.frameRate);
  const every = Math.max(1, Math.floor(rate / readRate));
  const range = { start: 0, end: facts.frameCount };
  for await (const frame of openFrames({ path, facts, range, every, signal })) {
    const timeMs = (frame.clipFrame * 1000) / rate;
    builder.addFrame(timeMs, frame, await faces.at(timeMs, frame));
  }
  if (track) {
    for await (const chunk of shiftSound(readMonoSound(path, track, signal), track.delayMs)) builder.addSound(chunk);
  }
  return builder.finish();
}

/** Locates the face of a video about once per second. */
class FaceLocation {
  readonly #detector: FaceDetector;
  readonly #color: ColorTags;
  #points: Float32Array | undefined;
  #nextMs = 0;

  constructor(detector: FaceDetector, color: ColorTags) {
    this.#detector = detector;
    this.#color = color;
  }

  /** Landmarks of the last located face; undefined without one. Call with ascending times. */
  async at(timeMs: number, picture: Picture): Promise<Float32Array | undefined> {
    if (timeMs < this.#nextMs) return this.#points;
    this.#nextMs = timeMs + faceIntervalMs;
    const followed = this.#points && (await this.#measure(picture, regionOfMesh(this.#points)));
    const mesh = followed ?? (await this.#detect(picture));
    this.#points = mesh?.points;
    return this.#points;
  }

  #measure(picture: Picture, region: FaceRegion): Promise<FaceMesh | undefined> {
    return this.#detector.planarMesh({ picture, matrix: colorMatrixOf(this.#color, picture.height) }, region);
  }

  async #detect(picture: Picture): Promise<FaceMesh | undefined> {
    const { rgb, width, height, scale } = grayPicture(picture);
    const [box] = await this.#detector.detect(rgb, width, height);
    if (!box) return undefined;
    const { x, y, width: boxWidth, height: boxHeight } = box;
    const scaled = { ...box, x: x * scale, y: y * scale, width: boxWidth * scale, height: boxHeight * scale };
    return this.#measure(picture, regionOfBox(scaled));
  }
}

/** A reduced gray picture in RGB. `scale`: its pixels times this are those of the picture. */
function grayPicture(picture: Picture) {
  const { luma } = planesOf(picture);
  const scale = Math.max(1, Math.max(luma.width, luma.height) / detectedSide);
  const [width, height] = [Math.floor(luma.width / scale), Math.floor(luma.height / scale)];
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor((y + 0.5) * scale) * luma.width;
    for (let x = 0; x < width; x += 1)
      rgb.fill(luma.data[row + Math.floor((x + 0.5) * scale)] ?? 0, (y * width + x) * 3, (y * width + x + 1) * 3);
  }
  return { rgb, width, height, scale };
}
