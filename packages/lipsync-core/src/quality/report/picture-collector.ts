import { colorMatrixOf } from '../../image/color-matrix.ts';
import { outerLips } from '../../face/landmarks.ts';
import type { Picture } from '../../image/planes.ts';
import type { ColorTags } from '../../media/index.ts';
import type {
  Analyzer,
  AnalyzerDefinition,
  AnalyzerSetup,
  AssessedFrame,
  Findings,
  TracePicture,
} from '../analyzer.ts';
import { cropPicture } from './crop-picture.ts';
import { encodePng, type RgbImage } from './png.ts';

/** Bounds the size of a trace: at most so many pictures, whatever the length of the video. */
const maxPictures = 120;
const minIntervalMs = 500;
const faceSize = { width: 192, height: 192 };
const mouthSize = { width: 96, height: 64 };
/** Width of the face picture relative to the height of the landmarks, and of the mouth picture to that of the lips. */
const faceMargin = 1.5;
const mouthMargin = 1.7;

interface CollectedPicture {
  readonly timeMs: number;
  readonly face: RgbImage;
  readonly mouth: RgbImage | undefined;
  readonly sourceMouth: RgbImage | undefined;
}

/**
 * Collects the pictures of a report: the face, and the mouth beside that of the source clip, preferably in frames whose
 * source picture is decoded. Has no parts.
 */
export const pictureCollector: AnalyzerDefinition = {
  name: 'pictures',
  parts: [],
  labels: [],
  create: (setup) => (setup.input.withPictures ? new PictureCollector(setup) : undefined),
};

class PictureCollector implements Analyzer {
  readonly #setup: AnalyzerSetup;
  readonly #intervalMs: number;
  readonly #pictures: CollectedPicture[] = [];
  #nextMs = 0;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
    this.#intervalMs = Math.max(minIntervalMs, setup.facts.durationMs / maxPictures);
  }

  add({ picture, points, source, timeMs }: AssessedFrame): void {
    const waitsForSource = source !== undefined && !source.picture && timeMs < this.#nextMs + this.#intervalMs;
    if (timeMs < this.#nextMs || waitsForSource) return;
    this.#nextMs = timeMs + this.#intervalMs;
    const { facts, input } = this.#setup;
    this.#pictures.push({
      timeMs,
      face: cutFace(picture, points, facts.color),
      mouth: cutMouth(picture, points, facts.color),
      sourceMouth: source?.picture && cutMouth(source.picture, source.points, input.source?.clip.color ?? {}),
    });
  }

  finish(): Findings {
    const toText = (image: RgbImage | undefined): string | null => (image ? encodePng(image).toString('base64') : null);
    const pictures = this.#pictures.map(({ timeMs, face, mouth, sourceMouth }): TracePicture => ({
      timeMs: Math.round(timeMs),
      face: encodePng(face).toString('base64'),
      mouth: toText(mouth),
      sourceMouth: toText(sourceMouth),
    }));
    return { trace: { pictures } };
  }
}

/** The face, or the whole width of a picture without one. */
function cutFace(picture: Picture, points: Float32Array | undefined, color: ColorTags): RgbImage {
  const { width, height } = picture;
  const whole = { centerX: width / 2, centerY: height / 2, width: Math.max(width, height) };
  const box = points && boundsOf(points);
  const area = box ? { ...box, width: Math.min(whole.width, box.height * faceMargin) } : whole;
  return cropPicture(picture, colorMatrixOf(color, height), area, faceSize);
}

function cutMouth(picture: Picture, points: Float32Array | undefined, color: ColorTags): RgbImage | undefined {
  if (!points) return undefined;
  const { centerX, centerY, width } = boundsOf(points, outerLips);
  const area = { centerX, centerY, width: Math.max(8, width * mouthMargin) };
  return cropPicture(picture, colorMatrixOf(color, picture.height), area, mouthSize);
}

function boundsOf(points: Float32Array, indices?: readonly number[]) {
  const chosen = indices ?? Array.from({ length: points.length / 3 }, (_, index) => index);
  const across = chosen.map((index) => points[index * 3] ?? 0);
  const down = chosen.map((index) => points[index * 3 + 1] ?? 0);
  const [left, right] = [Math.min(...across), Math.max(...across)];
  const [top, bottom] = [Math.min(...down), Math.max(...down)];
  return { centerX: (left + right) / 2, centerY: (top + bottom) / 2, width: right - left, height: bottom - top };
}
