import { isOffCenter } from '../../face/face-regions.ts';
import { createFaceDetector, type FaceDetector, type FaceRegion, type FaceTrack } from '../../face/index.ts';
import { trackedRange } from '../../face/face-tracking.ts';
import { trackFaces } from '../../face/track-faces.ts';
import { LipsyncError } from '../../errors/index.ts';
import { colorMatrixOf, type ColorMatrix } from '../../image/color-matrix.ts';
import { clipFrameAt, type Picture } from '../../media/index.ts';
import { hashFile } from '../../storage/file-hash.ts';
import type { AnalyzerSetup, FaceLocator, SourceFrame } from '../analyzer.ts';
import { FixedCrop } from './landmark-crop.ts';

/**
 * Measured frames per second, by the length of the video. Speech moves lips up to about six times a second; the longer the
 * video, the fewer samples of each second the offset needs.
 */
const measureRates = [
  { belowS: 8, perSecond: 24 },
  { belowS: 20, perSecond: 12 },
  { belowS: Infinity, perSecond: 8 },
] as const;

const picturesPerSecond = 5;

/** The setup of analyzers, before the face is located. */
export type FaceReaderSetup = Omit<AnalyzerSetup, 'faces' | 'sound'>;

/**
 * Measures the landmarks of the face in decoded frames of a video. The face is located by the track of the source clip,
 * or by a track of the video itself.
 */
export class FaceReader implements FaceLocator {
  readonly #setup: FaceReaderSetup;
  readonly #detector: FaceDetector;
  readonly #track: FaceTrack | undefined;
  readonly #crop: FixedCrop | undefined;
  readonly #matrix: ColorMatrix;
  #latest: Promise<Float32Array | undefined> = Promise.resolve(undefined);

  private constructor(setup: FaceReaderSetup, detector: FaceDetector, track: FaceTrack | undefined) {
    this.#setup = setup;
    this.#detector = detector;
    this.#track = track;
    this.#crop = track && new FixedCrop(track);
    this.#matrix = colorMatrixOf(setup.facts.color, setup.facts.height);
  }

  /** Opens the track. The caller closes the reader. */
  static async open(setup: FaceReaderSetup, onProgress: (fraction: number) => void): Promise<FaceReader> {
    const detector = await setup.resources.get(createFaceDetector);
    return new FaceReader(setup, detector, await findTrack(setup, detector, onProgress));
  }

  /** Landmarks are measured in the first of so many frames. */
  get every(): number {
    const { frameCount, framesPerSecond } = this.#setup;
    const rate = measureRates.find(({ belowS }) => frameCount < belowS * framesPerSecond)?.perSecond ?? Infinity;
    return Math.max(1, Math.floor(framesPerSecond / rate));
  }

  get pictureEvery(): number {
    const { every } = this;
    return every * Math.max(1, Math.round(this.#setup.framesPerSecond / picturesPerSecond / every));
  }

  /** The track that locates the face: of the source clip, or of the video; undefined when it shows no face. */
  get track(): FaceTrack | undefined {
    return this.#track;
  }

  close(): void {
    this.#track?.close();
  }

  /** Frame of the track that belongs to a frame of the video. */
  trackFrameAt(index: number): number {
    const { source } = this.#setup.input;
    if (!source) return index;
    const { timeline } = source;
    return clipFrameAt(timeline, this.sourceIndexAt(index)) - timeline.windowStart;
  }

  isMouthVisible(index: number): boolean {
    return this.#track?.visibility(this.trackFrameAt(index)) === 1;
  }

  /** Output frame of the source's timeline that is shown in a frame of the video, which may have another rate. */
  sourceIndexAt(index: number): number {
    const { source } = this.#setup.input;
    if (!source) return index;
    const { frameRate, frameCount } = source.timeline;
    const at = (index * frameRate.numerator) / frameRate.denominator / this.#setup.framesPerSecond;
    return Math.min(frameCount - 1, Math.round(at));
  }

  /** The tracked face of the source in a frame of the video; undefined without a source. */
  sourceFrameAt(index: number): Omit<SourceFrame, 'picture'> | undefined {
    const { source } = this.#setup.input;
    if (!source || !this.#track) return undefined;
    const frame = this.trackFrameAt(index);
    const { points } = this.#track.frame(frame);
    return {
      clipFrame: frame + source.timeline.windowStart,
      points: points.length === 0 ? undefined : points,
      visibility: this.#track.visibility(frame),
    };
  }

  /**
   * Landmarks of a decoded frame, in its pixels; undefined without a face. Frames between two measured ones have those
   * of the earlier one. They are measured again when the face does not lie where the track expects it, as in a take that
   * a vendor cropped. Call with ascending indexes.
   */
  measure(index: number, picture: Picture): Promise<Float32Array | undefined> {
    if (index % this.every === 0) this.#latest = this.#measure(index, picture);
    return this.#latest;
  }

  async #measure(index: number, picture: Picture): Promise<Float32Array | undefined> {
    const frame = this.trackFrameAt(index);
    const expected = this.#crop?.at(frame);
    if (!expected) return undefined;
    const region = this.#toVideo(expected, picture);
    const points = await this.#measureIn(region, picture);
    const found = points && this.#crop?.around(points, frame);
    return found && isOffCenter(region, found) ? this.#measureIn(found, picture) : points;
  }

  /** Converts a region from pixels of the tracked clip to those of the video. */
  #toVideo(region: FaceRegion, picture: Picture): FaceRegion {
    const { input, facts } = this.#setup;
    const { width, height } = input.source?.clip ?? facts;
    const [scaleX, scaleY] = [picture.width / width, picture.height / height];
    return {
      ...region,
      centerX: region.centerX * scaleX,
      centerY: region.centerY * scaleY,
      side: region.side * Math.sqrt(scaleX * scaleY),
    };
  }

  async #measureIn(region: FaceRegion, picture: Picture): Promise<Float32Array | undefined> {
    const mesh = await this.#detector.planarMesh({ picture, matrix: this.#matrix }, region);
    return mesh?.points;
  }
}

async function findTrack(
  setup: FaceReaderSetup,
  detector: FaceDetector,
  onProgress: (fraction: number) => void,
): Promise<FaceTrack | undefined> {
  const { input, signal } = setup;
  const { source, videoPath } = input;
  const common = { detector, cacheDir: input.trackCacheFolder, workDir: input.workFolder, signal, onProgress };
  try {
    if (source) {
      const { clipPath, clipDigest, clip, timeline } = source;
      return await trackFaces({ ...common, clipPath, clipDigest, clip, range: trackedRange(timeline) });
    }
    const { sha256: clipDigest } = await hashFile(videoPath, signal);
    const range = { start: 0, end: setup.facts.frameCount };
    return await trackFaces({ ...common, clipPath: videoPath, clipDigest, clip: setup.facts, range });
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'clip_unusable') return undefined;
    throw error;
  }
}
