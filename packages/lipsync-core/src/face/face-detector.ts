import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { graphModelToOnnx } from '../inference/graph-model-to-onnx.ts';
import { readGraphModel } from '../inference/graph-model.ts';
import { loadSession, type OnnxSession, type OnnxTensor } from '../inference/onnx-session.ts';
import { decodeFaceBoxes, detectorInputSize } from './bounding-boxes.ts';
import { sampleRegion, toPicture, type RegionSample, type RgbPicture, type ValueScaling } from './face-regions.ts';
import {
  landmarkCount,
  type FaceBox,
  type FaceDetector,
  type FaceMesh,
  type FaceRegion,
  type YuvPicture,
} from './face-types.ts';
import { samplePlanarRegion } from './planar-sampling.ts';
import { leftEyeCorners, rightEyeCorners } from './landmarks.ts';

const meshInputSize = 192;
const signedScaling: ValueScaling = { scale: 2 / 255, offset: -1 };
const unsignedScaling: ValueScaling = { scale: 1 / 255, offset: 0 };
const minimumMeshScore = 0.5;
const meshOutputs = { score: 'Identity_1', points: 'Identity_2' } as const;

/**
 * Creates the default detector: BlazeFace and the face mesh of the `@vladmandic/human` package, on the CPU. Calls may
 * run concurrently; each uses one thread. The caller closes it. Throws `model_missing` when the package is not
 * installed and `model_invalid` when its files are damaged.
 */
export async function createFaceDetector(): Promise<FaceDetector> {
  const [boxModel, meshModel] = await Promise.all([
    loadRegionModel('blazeface', detectorInputSize),
    // The contours of eyes and lips, its third output, are not used.
    loadRegionModel('facemesh', meshInputSize, [meshOutputs.score, meshOutputs.points]),
  ]);
  return {
    id: 'blazeface-256+facemesh-192',
    detect: (rgb, width, height) => detectFaces(boxModel, { rgb, width, height }),
    mesh: (rgb, width, height, region) => detectMesh(meshModel, samplerOf({ rgb, width, height }), region),
    planarMesh: (picture, region) => detectMesh(meshModel, planarSamplerOf(picture), region),
    close: async () => {
      await Promise.all([boxModel.session.release(), meshModel.session.release()]);
    },
  };
}

/** A model with a square RGB input. Input arrays are pooled, because each has half a megabyte. */
export interface RegionModel {
  readonly session: OnnxSession;
  readonly size: number;
  readonly freeInputs: Float32Array[];
}

/** Loads a model of the package @vladmandic/human. `outputs` names the nodes to compute; by default, all outputs. */
export async function loadRegionModel(
  name: 'blazeface' | 'facemesh' | 'faceres',
  size: number,
  outputs?: readonly string[],
): Promise<RegionModel> {
  const [topology, weights] = await readModelFiles(name);
  const onnx = graphModelToOnnx(readGraphModel(topology.toString('utf8'), weights), outputs);
  return { session: await loadSession(onnx, { threads: 1 }), size, freeInputs: [] };
}

async function readModelFiles(name: string): Promise<[Buffer, Buffer]> {
  try {
    // The package exports its entry point but not its models, which are in a sibling folder.
    const entry = createRequire(import.meta.url).resolve('@vladmandic/human');
    const folder = join(dirname(entry), '..', 'models');
    return await Promise.all([readFile(join(folder, `${name}.json`)), readFile(join(folder, `${name}.bin`))]);
  } catch (cause) {
    throw new LipsyncError(
      'model_missing',
      'The face models of the package @vladmandic/human are missing. Reinstall the dependencies.',
      { cause },
    );
  }
}

async function detectFaces(model: RegionModel, picture: RgbPicture): Promise<readonly FaceBox[]> {
  const side = Math.max(picture.width, picture.height);
  const region: FaceRegion = { centerX: picture.width / 2, centerY: picture.height / 2, side, roll: 0 };
  const outputs = await runRegionModel(model, samplerOf(picture), region, signedScaling);
  const boxes = decodeFaceBoxes([
    { scores: valuesOf(outputs, 'Identity'), values: valuesOf(outputs, 'Identity_2'), stride: 16, anchorsPerCell: 2 },
    { scores: valuesOf(outputs, 'Identity_1'), values: valuesOf(outputs, 'Identity_3'), stride: 32, anchorsPerCell: 6 },
  ]);
  return boxes.map((box) => toPictureBox(box, region));
}

function toPictureBox(box: FaceBox, region: FaceRegion): FaceBox {
  const scale = region.side / detectorInputSize;
  const [x, y] = toPicture(region, detectorInputSize, box.x, box.y);
  return { ...box, x, y, width: box.width * scale, height: box.height * scale };
}

async function detectMesh(
  model: RegionModel,
  sample: RegionSampler,
  region: FaceRegion,
): Promise<FaceMesh | undefined> {
  const outputs = await runRegionModel(model, sample, region, unsignedScaling);
  const [score = 0] = valuesOf(outputs, meshOutputs.score);
  const raw = valuesOf(outputs, meshOutputs.points);
  // The negation rejects NaN scores too.
  if (!(score >= minimumMeshScore) || !raw.every(Number.isFinite)) return undefined;
  return { points: toPicturePoints(raw, region), score };
}

function toPicturePoints(raw: Float32Array, region: FaceRegion): Float32Array {
  const points = new Float32Array(landmarkCount * 3);
  const scale = region.side / meshInputSize;
  for (let index = 0; index < raw.length; index += 3) {
    const [x, y] = toPicture(region, meshInputSize, raw[index] ?? 0, raw[index + 1] ?? 0);
    points[index] = x;
    points[index + 1] = y;
    points[index + 2] = (raw[index + 2] ?? 0) * scale;
  }
  placeIrises(points);
  return points;
}

/** Fills the input of a model, red plane first, with a region of a picture. */
type RegionSampler = (sample: RegionSample, planes: Float32Array) => void;

function samplerOf(picture: RgbPicture): RegionSampler {
  return (sample, planes) => sampleRegion(picture, sample, planes);
}

export function planarSamplerOf(picture: YuvPicture): RegionSampler {
  return (sample, planes) => samplePlanarRegion(picture, sample, planes);
}

/** Runs a model on a region of a picture. */
export async function runRegionModel(
  model: RegionModel,
  sample: RegionSampler,
  region: FaceRegion,
  scaling: ValueScaling,
) {
  const { session, size, freeInputs } = model;
  const data = freeInputs.pop() ?? new Float32Array(3 * size * size);
  sample({ region, size, scaling }, data);
  const [input = ''] = session.inputNames;
  try {
    return await session.run({ [input]: { type: 'float32', data, dims: [1, 3, size, size] } });
  } finally {
    freeInputs.push(data);
  }
}

/** Values of an output. Throws `model_invalid` when it is missing. */
export function valuesOf(outputs: Readonly<Record<string, OnnxTensor>>, name: string): Float32Array {
  const tensor = outputs[name];
  if (tensor?.type !== 'float32')
    throw new LipsyncError(
      'model_invalid',
      'A face model of the package @vladmandic/human has unexpected outputs. Reinstall the dependencies.',
    );
  return tensor.data;
}

/** First of the five points of each iris: center, right, top, left, bottom in the picture. */
const firstIrisPoint = { left: 468, right: 473 } as const;
/** Iris radius relative to the eye's width: an iris is about 11.7 mm wide, an eye about 29 mm from corner to corner. */
const irisRadiusRatio = 0.2;

/**
 * Sets the ten iris points to average irises in the middle of each eye. Gaze is not measured: lip-sync does not need
 * it, and an iris model would take longer than the whole mesh.
 */
function placeIrises(points: Float32Array): void {
  placeIris(points, leftEyeCorners, firstIrisPoint.left);
  placeIris(points, rightEyeCorners, firstIrisPoint.right);
}

function placeIris(points: Float32Array, [outer, inner]: readonly [number, number], first: number): void {
  const at = (point: number, axis: number): number => points[point * 3 + axis] ?? 0;
  const across = at(inner, 0) - at(outer, 0);
  const down = at(inner, 1) - at(outer, 1);
  // The sign makes the eye's axis point to the right of the picture for both eyes.
  const radius = (outer === leftEyeCorners[0] ? 1 : -1) * irisRadiusRatio;
  const offsets = [
    [0, 0],
    [across, down],
    [down, -across],
    [-across, -down],
    [-down, across],
  ] as const;
  for (const [index, [x, y]] of offsets.entries()) {
    const target = (first + index) * 3;
    points[target] = (at(outer, 0) + at(inner, 0)) / 2 + x * radius;
    points[target + 1] = (at(outer, 1) + at(inner, 1)) / 2 + y * radius;
    points[target + 2] = (at(outer, 2) + at(inner, 2)) / 2;
  }
}
