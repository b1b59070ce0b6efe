import type { QualityLabel, QualityPart, SyncQuality } from '../contract/quality.ts';
import type { FaceTrack } from '../face/index.ts';
import type { Fingerprint } from '../fingerprint/fingerprint.ts';
import type { ClipFacts, MediaLimits, Picture, SoundSource, TakeLabel, Timeline, VideoFacts } from '../media/index.ts';
import type { RenderResources } from '../processes/render-task.ts';
import type { SoundFeed } from './lips/sound-feed.ts';
import type { VideoSpeech } from './lips/video-speech.ts';

/** The clip that a take was made from. Plain data: it crosses a process boundary. */
export interface AssessmentSource {
  readonly clipPath: string;
  /** Content hash of the clip. */
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly timeline: Timeline;
}

/** The speech that a take was made from, with its mouth curve for the timeline of the source. */
export interface AssessmentSpeech {
  readonly path: string;
  readonly sound: SoundSource;
  readonly mouthCurvePath: string;
}

/** Model files that parts need; a part whose model is missing is null with a reason. */
export interface AssessmentModels {
  readonly syncnetPath?: string | undefined;
  readonly speakerPath?: string | undefined;
  readonly dnsmosPath?: string | undefined;
  /** Folder for imports of checkpoints. */
  readonly cacheFolder?: string | undefined;
}

/** A video to assess. Without source and speech, its own sound is its speech. Plain data. */
export interface AssessmentInput {
  readonly videoPath: string;
  /** The probed video; without it, the assessment probes the video. */
  readonly video?: VideoFacts | undefined;
  readonly source?: AssessmentSource | undefined;
  readonly speech?: AssessmentSpeech | undefined;
  /** A visible label that was drawn over the video, which is no fault of it. */
  readonly label?: TakeLabel | undefined;
  /** Whether this service encoded the video along the timeline of the source, so that the index of its file is reliable. */
  readonly followsTimeline?: boolean | undefined;
  readonly trackCacheFolder: string;
  /** Folder for temporary files, on the file system of the cache. */
  readonly workFolder: string;
  /** Whether SyncNet scores every window; by default at most 10 s, spread over the video. */
  readonly allWindows?: boolean | undefined;
  /** Whether the trace gets pictures, for a report. */
  readonly withPictures?: boolean | undefined;
  /** Whether a fingerprint is made, for finding the video again. */
  readonly withFingerprint?: boolean | undefined;
}

/** One row of a table of parts: what `docs/quality.md` lists. */
export interface PartDefinition {
  /** In snake_case. */
  readonly name: string;
  readonly unit: string;
  /** The result whose score it counts in; `none` for a part that is only reported. */
  readonly countsIn: 'audio_quality' | 'video_quality' | 'none';
  readonly meaning: string;
  /** Maps a value to 0 (bad) … 1 (good); null where no value is better than another. Monotonic. */
  score(value: number): number | null;
}

/** One row of a table of labels. */
export interface LabelDefinition {
  /** In snake_case. A defect that is also a warning has one code for both. */
  readonly code: string;
  readonly threshold: number;
  readonly unit: string;
  readonly fatal: boolean;
  readonly meaning: string;
}

/** What the report page draws: plain JSON, one value per frame unless stated. */
export interface QualityTrace {
  readonly frameRate: number;
  /** Null in frames without a face. */
  readonly lipOpening: readonly (number | null)[];
  /** Lip opening of the source clip in the frame that is shown; null without a source. */
  readonly sourceLipOpening: readonly (number | null)[] | null;
  readonly speechLevelDb: readonly number[];
  readonly voiced: readonly boolean[];
  /** Correlation of lips and sound by lag in frames; a positive lag means that the sound is ahead of the picture. */
  readonly offsetCurve: readonly { readonly lagFrames: number; readonly correlation: number }[];
  /** Mean SyncNet distance by lag in frames at 25 fps; null without SyncNet. */
  readonly distanceCurve: readonly { readonly lagFrames: number; readonly distance: number }[] | null;
  /** Confidence of SyncNet per frame at 25 fps, null in frames that were not scored; null without SyncNet. */
  readonly syncConfidence: readonly (number | null)[] | null;
  /** Pictures in the order of time, at most two per second; empty unless the input asks for them. */
  readonly pictures: readonly TracePicture[];
}

/** Crops of a frame as PNG in base64. */
export interface TracePicture {
  readonly timeMs: number;
  /** The face, or the whole picture without one. */
  readonly face: string;
  /** Null without a face. */
  readonly mouth: string | null;
  /** The mouth of the source clip in the frame that is shown; null without one. */
  readonly sourceMouth: string | null;
}

/** What one analyzer contributes to an assessment. Everything is optional; later analyzers override earlier ones. */
export interface Findings {
  readonly parts?: Readonly<Record<string, QualityPart>>;
  /** Those parts that are also measured on the source clip. */
  readonly source?: Readonly<Record<string, number | null>>;
  readonly labels?: readonly QualityLabel[];
  readonly sync?: Partial<SyncQuality>;
  readonly syncScore?: number | null;
  /** SHA-256 of each model that was used, by name. */
  readonly models?: Readonly<Record<string, string>>;
  readonly trace?: Partial<QualityTrace>;
  readonly fingerprint?: Fingerprint;
}

/** A decoded frame of the video. Pixels are valid during `add` only. */
export interface AssessedFrame {
  readonly index: number;
  readonly timeMs: number;
  readonly picture: Picture;
  /**
   * `landmarkCount × 3` landmark values that were measured in this frame or in one shortly before it, in its pixels;
   * undefined without a face. The crop of the landmark model is fixed relative to the face.
   */
  readonly points: Float32Array | undefined;
  /** Whether the landmarks were measured in this frame. */
  readonly isMeasured: boolean;
  readonly source: SourceFrame | undefined;
}

/** The frame of the source clip that the video shows. */
export interface SourceFrame {
  readonly clipFrame: number;
  /** Landmarks of the face track in pixels of the clip; undefined without a face. */
  readonly points: Float32Array | undefined;
  /** Opacity, 0–1, that a redrawn mouth may have: 0 where the clip's mouth is hidden. */
  readonly visibility: number;
  /**
   * The picture at the clip's size, about five times a second in the first 10 s of the clip, and never at the seam of a
   * loop; undefined in other frames.
   */
  readonly picture: Picture | undefined;
}

/** Where the face of each frame was found: by the track of the source clip, or of the video itself. */
export interface FaceLocator {
  /** Undefined when it shows no face. */
  readonly track: FaceTrack | undefined;
  /** Landmarks are measured in the first of so many frames. */
  readonly every: number;
  /** Pictures are sampled in the first of so many frames, about five times a second; a multiple of `every`. */
  readonly pictureEvery: number;
  /** Frame of the track that belongs to a frame of the video. */
  trackFrameAt(index: number): number;
  /** Whether nothing hides the mouth in a frame of the video, by the track; lips are not judged in other frames. */
  isMouthVisible(index: number): boolean;
}

/** What analyzers receive before the first frame. */
export interface AnalyzerSetup {
  readonly input: AssessmentInput;
  readonly models: AssessmentModels;
  readonly faces: FaceLocator;
  readonly sound: SoundFeed;
  readonly limits: MediaLimits;
  readonly facts: ClipFacts;
  readonly framesPerSecond: number;
  /** Frames of the video. */
  readonly frameCount: number;
  readonly resources: RenderResources;
  readonly signal: AbortSignal;
}

/** Measures one aspect of a video in one pass, with bounded memory. */
export interface Analyzer {
  /** Whether the analyzer also needs the frames without landmarks, which are decoded only then. */
  readonly needsEveryFrame?: boolean;
  /** Called for the decoded frames in order. */
  add?(frame: AssessedFrame): void | Promise<void>;
  /** Called once, after the last frame, with the measured sound. */
  finish(speech: VideoSpeech): Findings | Promise<Findings>;
}

/** An analyzer with its tables. When it fails, its parts are null with the reason; other parts are not affected. */
export interface AnalyzerDefinition {
  readonly name: string;
  readonly parts: readonly PartDefinition[];
  readonly labels: readonly LabelDefinition[];
  /** Returns undefined when the analyzer has nothing to measure in this video. */
  create(setup: AnalyzerSetup): Analyzer | undefined | Promise<Analyzer | undefined>;
}

/** Lips are not judged at lower rates: a syllable takes about 0.2 s. */
const slowestFramesPerSecond = 10;

/** Why the motion of lips cannot be judged at a rate; null when it can. */
export function findRateObstacle(framesPerSecond: number): string | null {
  if (framesPerSecond >= slowestFramesPerSecond) return null;
  return `The video has fewer than ${slowestFramesPerSecond} frames per second.`;
}

/** Makes a part of its definition. A null value needs a reason. */
export function toPart(definition: PartDefinition, value: number | null, reason: string | null = null): QualityPart {
  const { unit } = definition;
  if (value === null || !Number.isFinite(value))
    return { value: null, unit, score: null, reason: reason ?? 'It could not be measured.' };
  const score = definition.score(value);
  return { value, unit, score: score === null ? null : Math.min(1, Math.max(0, score)), reason: null };
}
