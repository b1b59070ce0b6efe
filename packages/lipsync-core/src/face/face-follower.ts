import { boxOverlap } from './face-boxes.ts';
import { boxOfRegion, isOffCenter, regionOfBox, regionOfMesh, steadyRegion } from './face-regions.ts';
import type { FaceBox, FaceDetector, FaceMesh, FaceRegion } from './face-types.ts';
import type { RgbPicture } from './region-sampling.ts';

/** One face in one frame. */
export interface Sighting {
  /** Number of the frame. */
  readonly frame: number;
  /** The same number as long as it is the same face; never used again. */
  readonly person: number;
  readonly points: Float32Array;
  /** How much this face looks like the one that the picture is about: large and central is near 1. */
  readonly prominence: number;
}

export interface NumberedPicture extends RgbPicture {
  readonly frame: number;
}

/** Follows every prominent face through one shot. */
export interface FaceFollower {
  /**
   * The faces in each of a few consecutive frames. The frames are looked at side by side, starting from where the faces were
   * before the first of them, so more than two or three would lose fast heads.
   */
  follow(pictures: readonly NumberedPicture[]): Promise<readonly Sighting[]>;
}

interface Person {
  readonly id: number;
  region: FaceRegion;
  lastFrame: number;
}

interface Followed {
  readonly person: Person;
  readonly picture: NumberedPicture;
  readonly region: FaceRegion;
  readonly mesh: FaceMesh | undefined;
}

export interface FollowerOptions {
  readonly detector: FaceDetector;
  /** A face that was not seen for longer than this is another one when it comes back. */
  readonly memoryFrames: number;
  /** Frames from one look at the whole picture to the next while faces are being followed. */
  readonly detectEveryFrames: number;
  nextPersonId(): number;
}

const peopleAtOnce = 3;
/** Faces less prominent than this share of the most prominent one are not worth following. */
const worthyShare = 0.35;
const overlapOfSamePerson = 0.25;

/** Starts following at the beginning of a shot. Keeps nothing outside itself. */
export function createFaceFollower(options: FollowerOptions): FaceFollower {
  let people: Person[] = [];
  let nextDetection = -Infinity;

  const lookAround = async (picture: NumberedPicture): Promise<void> => {
    const boxes = await options.detector.detect(picture.rgb, picture.width, picture.height);
    people = await meet(people, worthyBoxes(boxes, picture), picture, options);
    nextDetection = picture.frame + options.detectEveryFrames;
  };

  const follow = async (pictures: readonly NumberedPicture[]): Promise<readonly Sighting[]> => {
    const [first, ...rest] = pictures;
    if (!first) return [];
    people = people.filter(({ lastFrame }) => first.frame - lastFrame <= options.memoryFrames);
    const wasDue = first.frame >= nextDetection || people.every(({ lastFrame }) => lastFrame < first.frame - 1);
    if (wasDue) await lookAround(first);
    let followed = await followAll(people, pictures, options.detector);
    if (!wasDue && followed.some(({ mesh }) => mesh === undefined)) {
      await lookAround(first);
      followed = await followAll(people, pictures, options.detector);
    }
    // Nobody: a face may appear in any of the frames, so each is looked at for itself.
    if (followed.every(({ mesh }) => mesh === undefined)) return follow(rest);
    for (const { person, picture, region, mesh } of followed) {
      if (!mesh) continue;
      person.region = steadyRegion(region, regionOfMesh(mesh.points));
      person.lastFrame = picture.frame;
    }
    people = withoutTwins(people);
    return followed.flatMap(toSighting);
  };

  return { follow };
}

/** Faces already followed that the detector sees again, and new ones. */
async function meet(
  people: readonly Person[],
  boxes: readonly FaceBox[],
  picture: NumberedPicture,
  { detector, nextPersonId }: FollowerOptions,
): Promise<Person[]> {
  const met = [...people];
  for (const box of boxes) {
    const found = await settle(regionOfBox(box), picture, detector);
    if (!found) continue;
    const known = met.find(({ region }) => boxOverlap(boxOfRegion(region), boxOfRegion(found)) > overlapOfSamePerson);
    // A person in view is followed from its mesh, which is finer than the detector's box.
    if (known && known.lastFrame < picture.frame - 1) known.region = found;
    if (!known && met.length < peopleAtOnce) met.push({ id: nextPersonId(), region: found, lastFrame: picture.frame });
  }
  return met;
}

/** The region that the mesh found from a rough one asks for; undefined when there is no face. */
async function settle(rough: FaceRegion, picture: RgbPicture, detector: FaceDetector): Promise<FaceRegion | undefined> {
  const mesh = await detector.mesh(picture.rgb, picture.width, picture.height, rough);
  return mesh && regionOfMesh(mesh.points);
}

async function followAll(
  people: readonly Person[],
  pictures: readonly NumberedPicture[],
  detector: FaceDetector,
): Promise<readonly Followed[]> {
  const pairs = pictures.flatMap((picture) => people.map((person) => ({ person, picture })));
  return Promise.all(pairs.map(({ person, picture }) => followOne(person, picture, detector)));
}

async function followOne(person: Person, picture: NumberedPicture, detector: FaceDetector): Promise<Followed> {
  const { rgb, width, height } = picture;
  const mesh = await detector.mesh(rgb, width, height, person.region);
  if (!mesh) return { person, picture, region: person.region, mesh };
  const region = regionOfMesh(mesh.points);
  if (!isOffCenter(person.region, region)) return { person, picture, region: person.region, mesh };
  return { person, picture, region, mesh: await detector.mesh(rgb, width, height, region) };
}

function toSighting({ person, picture, mesh }: Followed): Sighting[] {
  if (!mesh) return [];
  const prominence = prominenceOf(boxOfRegion(regionOfMesh(mesh.points)), picture);
  return [{ frame: picture.frame, person: person.id, points: mesh.points, prominence }];
}

function worthyBoxes(boxes: readonly FaceBox[], picture: RgbPicture): readonly FaceBox[] {
  const rated = boxes
    .map((box) => ({ box, prominence: prominenceOf(box, picture) }))
    .sort((first, second) => second.prominence - first.prominence);
  const best = rated[0]?.prominence ?? 0;
  return rated.filter(({ prominence }) => prominence >= best * worthyShare).map(({ box }) => box);
}

/** Side of the face against the picture's shorter side, less towards the rim. */
function prominenceOf(
  { x, y, width, height }: Pick<FaceBox, 'x' | 'y' | 'width' | 'height'>,
  picture: RgbPicture,
): number {
  const size = Math.max(width, height) / Math.min(picture.width, picture.height);
  const offset = Math.hypot(x + width / 2 - picture.width / 2, y + height / 2 - picture.height / 2);
  const fromCenter = offset / (Math.hypot(picture.width, picture.height) / 2);
  return size * (1 - 0.5 * Math.min(1, fromCenter));
}

/** Two followed faces can slide onto the same one; the older stays. */
function withoutTwins(people: readonly Person[]): Person[] {
  return people.filter((person, index) =>
    people.slice(0, index).every(({ region }) => boxOverlap(boxOfRegion(region), boxOfRegion(person.region)) < 0.6),
  );
}
