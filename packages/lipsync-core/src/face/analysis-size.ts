import { openFrames, type ClipFacts } from '../media/index.ts';
import type { FaceDetector } from './face-types.ts';

/** The size, in pixels, at which frames are looked at for faces. */
export interface AnalysisSize {
  readonly width: number;
  readonly height: number;
}

const usualLongSide = 640;
const largestLongSide = 1600;
/** The mesh model sees a square of 192; a face should fill about that many pixels with its margin. */
const wantedFaceSide = 128;
const framesToProbe = 12;

export interface AnalysisSizeOptions {
  readonly clipPath: string;
  readonly clip: ClipFacts;
  readonly range: { readonly start: number; readonly end: number };
  readonly detector: FaceDetector;
  readonly signal: AbortSignal;
}

/**
 * The usual small size, or as much larger as the first faces of the clip need to be seen in detail, up to the clip's own
 * size. Looks at the first frames only, until it has seen a face. Throws what decoding throws.
 */
export async function chooseAnalysisSize(options: AnalysisSizeOptions): Promise<AnalysisSize> {
  const { clipPath: path, clip: facts, detector, signal } = options;
  const small = fitted(facts, usualLongSide);
  if (small.width >= facts.width) return small;
  const range = { start: options.range.start, end: Math.min(options.range.end, options.range.start + framesToProbe) };
  for await (const { data } of openFrames({ path, facts, range, ...small, pixelFormat: 'rgb24', signal })) {
    const [face] = await detector.detect(data, small.width, small.height);
    if (face) return fitted(facts, usualLongSide * Math.max(1, wantedFaceSide / face.height));
  }
  return small;
}

function fitted({ width, height }: ClipFacts, longSide: number): AnalysisSize {
  const scale = Math.min(1, Math.min(largestLongSide, longSide) / Math.max(width, height));
  const even = (side: number): number => Math.max(2, Math.round((side * scale) / 2) * 2);
  return { width: even(width), height: even(height) };
}
