import type { OnnxSession, OnnxTensor } from '../inference/onnx-session.ts';
import { LipsyncError } from '../errors/index.ts';
import { loadBundledModel } from './bundled-models.ts';
import { decodeFaceBoxes, detectorInputSize } from './face-boxes.ts';
import { landmarkCount, type FaceBox, type FaceDetector, type FaceMesh, type FaceRegion } from './face-types.ts';
import { placeIrises } from './irises.ts';
import { sampleRegion, toPicture, type RgbPicture, type SampleRange } from './region-sampling.ts';

const meshInputSize = 192;
const signedRange: SampleRange = { scale: 2 / 255, offset: -1 };
const unsignedRange: SampleRange = { scale: 1 / 255, offset: 0 };
const minimumMeshScore = 0.5;

/**
 * The detector that works out of the box: BlazeFace and the face mesh of the installed face library, on the CPU.
 * Several calls may run at the same time; each uses one thread. The caller closes it.
 * Throws `model_missing` or `model_invalid` when the library is not there or is damaged.
 */
export async function createFaceDetector(): Promise<FaceDetector> {
  const [boxModel, meshModel] = await Promise.all([
    loadBundledModel('blazeface').then((session) => withInputs(session, detectorInputSize)),
    loadBundledModel('facemesh').then((session) => withInputs(session, meshInputSize)),
  ]);
  return {
    id: 'blazeface-256+facemesh-192',
    detect: (rgb, width, height) => detectFaces(boxModel, { rgb, width, height }),
    mesh: (rgb, width, height, region) => findMesh(meshModel, { rgb, width, height }, region),
    close: async () => {
      await Promise.all([boxModel.session.release(), meshModel.session.release()]);
    },
  };
}

async function detectFaces(model: PictureModel, picture: RgbPicture): Promise<readonly FaceBox[]> {
  const side = Math.max(picture.width, picture.height);
  const region: FaceRegion = { centerX: picture.width / 2, centerY: picture.height / 2, side, roll: 0 };
  const outputs = await run(model, picture, region, signedRange);
  const boxes = decodeFaceBoxes([
    { scores: values(outputs, 'Identity'), values: values(outputs, 'Identity_2'), stride: 16, perCell: 2 },
    { scores: values(outputs, 'Identity_1'), values: values(outputs, 'Identity_3'), stride: 32, perCell: 6 },
  ]);
  return boxes.map((box) => toPictureBox(box, region));
}

function toPictureBox(box: FaceBox, region: FaceRegion): FaceBox {
  const scale = region.side / detectorInputSize;
  const [x, y] = toPicture(region, detectorInputSize, box.x, box.y);
  return { ...box, x, y, width: box.width * scale, height: box.height * scale };
}

async function findMesh(model: PictureModel, picture: RgbPicture, region: FaceRegion): Promise<FaceMesh | undefined> {
  const outputs = await run(model, picture, region, unsignedRange);
  const [score = 0] = values(outputs, 'Identity_1');
  const raw = values(outputs, 'Identity_2');
  // Written so that a score or a place that is no number is no face either.
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

/** A model that looks at squares of a picture, and inputs for it that are used again: half a megabyte each is a lot to throw away per frame. */
interface PictureModel {
  readonly session: OnnxSession;
  readonly size: number;
  readonly freeInputs: Float32Array[];
}

function withInputs(session: OnnxSession, size: number): PictureModel {
  return { session, size, freeInputs: [] };
}

async function run(
  { session, size, freeInputs }: PictureModel,
  picture: RgbPicture,
  region: FaceRegion,
  range: SampleRange,
) {
  const data = freeInputs.pop() ?? new Float32Array(3 * size * size);
  sampleRegion(picture, { region, size, range }, data);
  const [input = ''] = session.inputNames;
  try {
    return await session.run({ [input]: { type: 'float32', data, dims: [1, 3, size, size] } });
  } finally {
    freeInputs.push(data);
  }
}

function values(outputs: Readonly<Record<string, OnnxTensor>>, name: string): Float32Array {
  const tensor = outputs[name];
  if (tensor?.type !== 'float32')
    throw new LipsyncError(
      'model_invalid',
      'A bundled face model has other outputs than expected. Install the package again.',
    );
  return tensor.data;
}
