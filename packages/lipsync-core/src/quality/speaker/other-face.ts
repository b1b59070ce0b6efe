import { intersectionOverUnion, type Rectangle } from '../../face/bounding-boxes.ts';
import { boxOfRegion, regionOfMesh, stabilizeRegion } from '../../face/face-regions.ts';
import type { FaceDetector, FacePlace, FaceRegion } from '../../face/face-types.ts';
import { colorMatrixOf } from '../../image/color-matrix.ts';
import type { ColorTags, Picture } from '../../media/index.ts';
import type { AnalyzerSetup } from '../analyzer.ts';
import { boxOfPoints, type SpeakerBox } from './mouth-crop.ts';
import { FaceWindow } from './speaker-windows.ts';

/** Side of the first crop of the landmark model, relative to the height of the face. */
const regionRatio = 1.5;
const sameFaceIou = 0.3;

/** Mean places of the faces beside the tracked one, without those that never move, in pixels of the picture. */
export function findOtherFaces(
  index: number,
  picture: Pick<Picture, 'width' | 'height'>,
  { faces, input, facts }: Pick<AnalyzerSetup, 'faces' | 'input' | 'facts'>,
): readonly FacePlace[] {
  const frame = faces.trackFrameAt(index);
  const { width, height } = input.source?.clip ?? facts;
  const [scaleX, scaleY] = [picture.width / width, picture.height / height];
  return (faces.track?.faceChoices ?? [])
    .filter(({ start, end }) => frame >= start && frame < end)
    .flatMap(({ others }) => others.filter(({ isStill }) => !isStill))
    .map((place) => ({ x: place.x * scaleX, y: place.y * scaleY, height: place.height * scaleY }));
}

/** A face beside the tracked one in one window, followed from its mean place by its landmarks. */
export class OtherFace {
  readonly window = new FaceWindow();
  readonly #detector: FaceDetector;
  #region: FaceRegion;
  #isOther = true;

  constructor(detector: FaceDetector, { x, y, height }: FacePlace) {
    this.#detector = detector;
    this.#region = { centerX: x, centerY: y, side: regionRatio * height, roll: 0 };
  }

  /** Adds the next frame; `tracked` is the box of the tracked face, which must not be followed. */
  async add(picture: Picture, color: ColorTags, tracked: SpeakerBox | undefined): Promise<void> {
    if (this.#isOther) this.window.add(picture, color, await this.#find(picture, color, tracked));
  }

  /** The crops; undefined when the face was missing in too many frames or is the tracked one. */
  finish(): Uint8Array | undefined {
    return this.#isOther ? this.window.finish() : undefined;
  }

  async #find(picture: Picture, color: ColorTags, tracked: SpeakerBox | undefined): Promise<SpeakerBox | undefined> {
    const matrix = colorMatrixOf(color, picture.height);
    const mesh = await this.#detector.planarMesh({ picture, matrix }, this.#region);
    if (!mesh) return undefined;
    const { points } = mesh;
    const found = regionOfMesh(points);
    if (tracked && intersectionOverUnion(boxOfRegion(found), toRectangle(tracked)) > sameFaceIou) {
      this.#isOther = false;
      return undefined;
    }
    this.#region = stabilizeRegion(this.#region, found);
    return boxOfPoints(points);
  }
}

function toRectangle({ x, y, halfSide }: SpeakerBox): Rectangle {
  return { x: x - halfSide, y: y - halfSide, width: 2 * halfSide, height: 2 * halfSide };
}
