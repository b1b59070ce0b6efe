import { join } from 'node:path';
import { LipsyncError } from '../../../errors/index.ts';
import { followShownFace, type FollowedFace } from '../../../face/face-tracking.ts';
import { createFaceDetector } from '../../../face/index.ts';
import type { CalibrationRequest } from '../../../inference/models/network-kind.ts';
import { openFrames, planTimeline, probeClip, probeSpeech, readSpeech } from '../../../media/index.ts';
import type { ClipFacts, SpeechFacts, Timeline } from '../../../media/index.ts';
import { RenderResources } from '../../../processes/render-task.ts';
import { hashFile } from '../../../storage/file-hash.ts';
import { faceBytes } from '../engine/engine-protocol.ts';
import type { FaceBatch } from '../engine/face-model.ts';
import { defaultWindowStartMs, melChunkLength, openMelChunks, silentMelChunk } from '../mel-chunks.ts';
import { officialCropSizePx } from '../model/model-facts.ts';
import { FaceCropper, placeFace } from '../picture/face-crop.ts';
import { maskSidePx, MouthMaskRenderer } from '../picture/mouth-mask.ts';

/** Faces of a clip as the engine gets them, and where each is pasted. */
export interface CalibrationFaces extends FaceBatch {
  /** count × 48 × 48 alpha values of the paste mask. */
  readonly masks: Uint8Array;
}

export interface CalibrationSet {
  /** The faces from which the scales of activations are derived. */
  readonly observed: CalibrationFaces;
  /** Other faces, on which errors are measured. */
  readonly measured: CalibrationFaces;
  readonly clipSha256: string;
}

/** Part of the clip that is used, from its start. */
const windowMs = 30_000;
/** Faces at even distances in the window; of three in a row, one is measured. */
const facesInTotal = 48;
const measuredEvery = 3;
/** Of so many faces, one has the sound of a pause. */
const silentEvery = 8;
const maskLength = maskSidePx * maskSidePx;

export interface CalibrationContext {
  /** Folder for temporary files, which the caller removes. */
  readonly workFolder: string;
  readonly signal: AbortSignal;
}

interface ProbedCalibration {
  readonly clipPath: string;
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
}

/**
 * Reads faces and speech of the calibration clip as a job does: face track, crops, mel chunks and paste masks. The speech
 * is that of the clip unless the request names another file. Throws `clip_unusable` for a clip without a face or with too
 * few frames, `speech_unusable` without sound, and the errors of tracking and decoding.
 */
export async function readCalibrationFaces(
  request: CalibrationRequest,
  context: CalibrationContext,
): Promise<CalibrationSet> {
  const probed = await probeCalibration(request, context);
  const resources = new RenderResources();
  const { signal, workFolder } = context;
  const detector = await resources.get(createFaceDetector);
  try {
    const tracked = await followShownFace(
      { ...probed, workFolder, trackCacheFolder: workFolder },
      { signal, resources, onProgress: () => undefined },
    );
    try {
      return { ...(await collectFaces(probed, tracked, context)), clipSha256: probed.clipDigest };
    } finally {
      await tracked.close();
    }
  } finally {
    await detector.close();
  }
}

async function probeCalibration(
  { clipPath, speechPath, limits }: CalibrationRequest,
  { workFolder, signal }: CalibrationContext,
): Promise<ProbedCalibration> {
  const clip = await probeClip(clipPath, { limits, signal });
  if (speechPath === null && !clip.hasSound)
    throw new LipsyncError(
      'speech_unusable',
      'The calibration clip has no sound. Name a recording of speech with --calibrate-speech.',
    );
  const targetPath = join(workFolder, 'speech.wav');
  const speech = await probeSpeech(speechPath ?? clipPath, { limits, signal, targetPath });
  const window = clip.kind === 'still' ? {} : { window: { startMs: 0, endMs: Math.min(clip.durationMs, windowMs) } };
  const timeline = planTimeline(clip, Math.min(speech.durationMs, windowMs), { syncMode: 'cut_off', ...window });
  const { sha256: clipDigest } = await hashFile(clipPath, signal);
  return { clipPath, clipDigest, clip, speechPath: targetPath, speech, timeline };
}

async function collectFaces(
  { clipPath, clip, speechPath, speech, timeline }: ProbedCalibration,
  tracked: FollowedFace,
  { workFolder, signal }: CalibrationContext,
): Promise<Pick<CalibrationSet, 'observed' | 'measured'>> {
  const collector = new FaceCollector(tracked, clip, timeline);
  const frames = openFrames({ path: clipPath, facts: clip, timeline, workFolder, signal });
  const { frameRate, frameCount } = timeline;
  const samples = readSpeech(speechPath, { ...speech, signal });
  const chunks = openMelChunks({ samples, frameRate, frameCount, windowStartMs: defaultWindowStartMs });
  try {
    for await (const frame of tracked.whenTracked(frames)) {
      const { value, done } = await chunks.next();
      collector.add(frame, done ? silentMelChunk : value);
    }
  } finally {
    await chunks.return(undefined);
  }
  return collector.finish();
}

interface CollectedFace {
  readonly crop: Uint8Array;
  readonly mel: Float32Array;
  readonly mask: Uint8Array;
}

/** Crops faces at even distances. */
class FaceCollector {
  readonly #tracked: FollowedFace;
  readonly #cropper: FaceCropper;
  readonly #masks = new MouthMaskRenderer();
  readonly #every: number;
  readonly #faces: CollectedFace[] = [];

  constructor(tracked: FollowedFace, { color }: ClipFacts, { frameCount }: Timeline) {
    this.#tracked = tracked;
    this.#cropper = new FaceCropper({ cropSizePx: officialCropSizePx, color });
    this.#every = Math.max(1, Math.floor(frameCount / facesInTotal));
  }

  add(
    frame: { readonly index: number; readonly clipFrame: number } & Parameters<FaceCropper['crop']>[0],
    mel: Float32Array,
  ): void {
    if (frame.index % this.#every !== 0 || this.#faces.length === facesInTotal) return;
    const { track, firstFrame } = this.#tracked;
    const trackFrame = frame.clipFrame - firstFrame;
    const { points, presence } = track.frame(trackFrame);
    if (presence === 'absent' || track.visibility(trackFrame) === 0) return;
    const placement = placeFace(points);
    const crop = new Uint8Array(faceBytes(officialCropSizePx));
    this.#cropper.crop(frame, placement, crop);
    const isSilent = this.#faces.length % silentEvery === silentEvery - 1;
    const mask = Uint8Array.from(this.#masks.render(placement, points).coverage);
    this.#faces.push({ crop, mel: isSilent ? silentMelChunk : mel, mask });
  }

  /** Throws `clip_unusable` when there are too few faces to measure some. */
  finish(): Pick<CalibrationSet, 'observed' | 'measured'> {
    const isMeasured = (_: unknown, index: number): boolean => index % measuredEvery === measuredEvery - 1;
    const measured = this.#faces.filter(isMeasured);
    if (measured.length === 0)
      throw new LipsyncError(
        'clip_unusable',
        `The calibration clip shows the face in ${this.#faces.length} usable frames, which are too few. Use a clip of some seconds.`,
      );
    const observed = this.#faces.filter((face, index) => !isMeasured(face, index));
    return { observed: joinFaces(observed), measured: joinFaces(measured) };
  }
}

function joinFaces(faces: readonly CollectedFace[]): CalibrationFaces {
  const bytes = faceBytes(officialCropSizePx);
  const crops = new Uint8Array(faces.length * bytes);
  const mel = new Float32Array(faces.length * melChunkLength);
  const masks = new Uint8Array(faces.length * maskLength);
  for (const [index, face] of faces.entries()) {
    crops.set(face.crop, index * bytes);
    mel.set(face.mel, index * melChunkLength);
    masks.set(face.mask, index * maskLength);
  }
  return { count: faces.length, mel, faces: crops, references: crops, masks };
}
