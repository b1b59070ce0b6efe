import type { ClipFacts, SpeechFacts } from '../media/media-types.ts';
import type { Timeline } from '../media/timeline.ts';
import type { SilenceMode } from '../contract/index.ts';
import type { EngineAddress } from '../providers/wav2lip/engine/engine-address.ts';
import type { SpeechReport } from '../audio/speech-types.ts';
import type { Warning } from '../contract/provider-types.ts';

/** Everything that a render process can be asked to do. Plain data: it crosses a process boundary. */
export type RenderTask = AnalyzeSpeechTask | PassThroughTask | PreviewTask | Wav2LipTask;

/** Listens to the speech and writes the mouth curve for the timeline to `mouthCurvePath`. */
export interface AnalyzeSpeechTask {
  readonly kind: 'analyze_speech';
  readonly speechPath: string;
  /** How long the speech is, to report how much of it was heard. */
  readonly speechDurationMs: number;
  readonly timeline: Timeline;
  readonly mouthCurvePath: string;
}

/** Lays the clip along the timeline untouched and gives it the new sound. */
export interface PassThroughTask {
  readonly kind: 'pass_through';
  readonly clipPath: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly workFolder: string;
  readonly takePath: string;
}

/** Tracks the face, moves the mouth along the mouth curve, and encodes. */
export interface PreviewTask {
  readonly kind: 'preview';
  readonly clipPath: string;
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly mouthCurvePath: string;
  readonly silenceMode: SilenceMode;
  readonly trackCacheFolder: string;
  readonly workFolder: string;
  readonly takePath: string;
}

/** Tracks the face, has an engine draw its mouth, pastes it back, and encodes. */
export interface Wav2LipTask extends Omit<PreviewTask, 'kind'> {
  readonly kind: 'wav2lip';
  readonly engine: EngineAddress;
  /** Where the sound begins that the model hears for a frame, relative to the frame; whole milliseconds. */
  readonly windowStartMs: number;
  readonly colorMatch: boolean;
  readonly sharpen: boolean;
}

/** Wall time and volume of one stage of a task. */
export interface StageFigures {
  readonly stage: string;
  readonly wallMs: number;
  readonly frames: number;
}

/** What a task that makes a take reports. */
export interface TakeReport {
  readonly warnings: readonly Warning[];
  readonly stages: readonly StageFigures[];
  /** Bytes moved between buffers in this process per output frame, reading and writing pipes not counted. */
  readonly bytesCopiedPerFrame: number;
}

export interface RenderTaskResults {
  readonly analyze_speech: SpeechReport;
  readonly pass_through: TakeReport;
  readonly preview: TakeReport;
  readonly wav2lip: TakeReport;
}
