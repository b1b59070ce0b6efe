import { intersectionOverUnion } from './bounding-boxes.ts';
import { describeAppearance } from './face-appearance.ts';
import {
  boxOfRegion,
  isOffCenter,
  regionOfBox,
  regionOfMesh,
  stabilizeRegion,
  type RgbPicture,
} from './face-regions.ts';
import type { FaceBox, FaceDetector, FaceMesh, FaceRegion } from './face-types.ts';
import type { FaceObservation } from './observation-store.ts';
import { prominenceOf } from './select-faces.ts';

export interface NumberedPicture extends RgbPicture {
  readonly frame: number;
}

export interface MultiFaceTrackerOptions {
  readonly detector: FaceDetector;
  /** A face that has not been observed for longer gets a new identity when it returns. */
  readonly memoryFrames: number;
  /** Frames between two detections on the whole picture while faces are tracked. */
  readonly detectionIntervalFrames: number;
}

interface TrackedFace {
  readonly identity: number;
  region: FaceRegion;
  lastFrame: number;
}

interface MeshResult {
  readonly face: TrackedFace;
  readonly picture: NumberedPicture;
  readonly region: FaceRegion;
  readonly mesh: FaceMesh | undefined;
}

const maximumFaces = 3;
/** Faces below this fraction of the largest prominence are not tracked. */
const minimumRelativeProminence = 0.35;
const sameFaceIou = 0.25;
const duplicateIou = 0.6;

/** Tracks the prominent faces through one shot: detection on the whole picture, then landmarks from frame to frame. */
export class MultiFaceTracker {
  readonly #options: MultiFaceTrackerOptions;
  #faces: TrackedFace[] = [];
  #nextDetectionFrame = -Infinity;
  #identityCount = 0;

  constructor(options: MultiFaceTrackerOptions) {
    this.#options = options;
  }

  /**
   * Returns the faces in each of a few consecutive frames. The frames are processed in parallel from the face positions
   * before the first of them, so more than two or three frames lose fast heads.
   */
  async track(pictures: readonly NumberedPicture[]): Promise<readonly FaceObservation[]> {
    const [first, ...rest] = pictures;
    if (!first) return [];
    const { memoryFrames } = this.#options;
    this.#faces = this.#faces.filter(({ lastFrame }) => first.frame - lastFrame <= memoryFrames);
    const isDetectionDue =
      first.frame >= this.#nextDetectionFrame || this.#faces.every(({ lastFrame }) => lastFrame < first.frame - 1);
    if (isDetectionDue) await this.#detect(first);
    let results = await this.#findMeshes(pictures);
    if (!isDetectionDue && results.some(({ mesh }) => mesh === undefined)) {
      await this.#detect(first);
      results = await this.#findMeshes(pictures);
    }
    // Without any face, each of the remaining frames is searched on its own, because a face may appear in any of them.
    if (results.every(({ mesh }) => mesh === undefined)) return this.track(rest);
    for (const { face, picture, region, mesh } of results) {
      if (!mesh) continue;
      face.region = stabilizeRegion(region, regionOfMesh(mesh.points));
      face.lastFrame = picture.frame;
    }
    this.#faces = withoutDuplicates(this.#faces);
    return results.flatMap(toObservation);
  }

  /** Detects faces on the whole picture: adds new ones and corrects the regions of lost ones. */
  async #detect(picture: NumberedPicture): Promise<void> {
    const { detector, detectionIntervalFrames } = this.#options;
    const boxes = await detector.detect(picture.rgb, picture.width, picture.height);
    const faces = [...this.#faces];
    for (const box of prominentBoxes(boxes, picture)) {
      const mesh = await detector.mesh(picture.rgb, picture.width, picture.height, regionOfBox(box));
      if (!mesh) continue;
      const found = regionOfMesh(mesh.points);
      const known = faces.find(
        ({ region }) => intersectionOverUnion(boxOfRegion(region), boxOfRegion(found)) > sameFaceIou,
      );
      // A face in view keeps the region of its landmarks, which is finer than a detected box.
      if (known && known.lastFrame < picture.frame - 1) known.region = found;
      if (!known && faces.length < maximumFaces) {
        faces.push({ identity: this.#identityCount, region: found, lastFrame: picture.frame });
        this.#identityCount += 1;
      }
    }
    this.#faces = faces;
    this.#nextDetectionFrame = picture.frame + detectionIntervalFrames;
  }

  async #findMeshes(pictures: readonly NumberedPicture[]): Promise<readonly MeshResult[]> {
    const pairs = pictures.flatMap((picture) => this.#faces.map((face) => ({ face, picture })));
    return Promise.all(pairs.map(({ face, picture }) => findMesh(face, picture, this.#options.detector)));
  }
}

/** Detects the landmarks from the last region of a face, and a second time when the face is off its center. */
async function findMesh(face: TrackedFace, picture: NumberedPicture, detector: FaceDetector): Promise<MeshResult> {
  const { rgb, width, height } = picture;
  const mesh = await detector.mesh(rgb, width, height, face.region);
  if (!mesh) return { face, picture, region: face.region, mesh };
  const region = regionOfMesh(mesh.points);
  if (!isOffCenter(face.region, region)) return { face, picture, region: face.region, mesh };
  return { face, picture, region, mesh: await detector.mesh(rgb, width, height, region) };
}

function toObservation({ face, picture, mesh }: MeshResult): FaceObservation[] {
  if (!mesh) return [];
  const prominence = prominenceOf(boxOfRegion(regionOfMesh(mesh.points)), picture);
  return [
    {
      frame: picture.frame,
      identity: face.identity,
      points: mesh.points,
      appearance: describeAppearance(picture, mesh.points),
      prominence,
    },
  ];
}

function prominentBoxes(boxes: readonly FaceBox[], picture: RgbPicture): readonly FaceBox[] {
  const rated = boxes
    .map((box) => ({ box, prominence: prominenceOf(box, picture) }))
    .sort((first, second) => second.prominence - first.prominence);
  const best = rated[0]?.prominence ?? 0;
  return rated.filter(({ prominence }) => prominence >= best * minimumRelativeProminence).map(({ box }) => box);
}

/** Two tracked faces can converge on the same one. The older one is kept. */
function withoutDuplicates(faces: readonly TrackedFace[]): TrackedFace[] {
  return faces.filter((face, index) =>
    faces
      .slice(0, index)
      .every(({ region }) => intersectionOverUnion(boxOfRegion(region), boxOfRegion(face.region)) < duplicateIou),
  );
}
