import { abortError } from '../errors/index.ts';
import type { OnnxSession } from '../inference/onnx-session.ts';
import { createFeatureExtractor, type SpeechFeatures } from './speech-features.ts';
import { createVoiceDetector } from './voice-detector.ts';

export interface ListenOptions {
  /** Speech as it is read: mono, 16 kHz, −1…1, in pieces of any length. */
  readonly chunks: AsyncIterable<Float32Array>;
  /** A session of the model at `voiceModelPath()`; it stays the caller's. */
  readonly voiceSession: OnnxSession;
  readonly signal: AbortSignal;
}

export interface Heard {
  readonly features: SpeechFeatures;
  /** One per 32 ms, see `createVoiceDetector`. */
  readonly voiceProbabilities: Float32Array;
}

/** Goes once through the speech and keeps what the rest of the analysis needs of it, about 30 MB per hour. */
export async function listen({ chunks, voiceSession, signal }: ListenOptions): Promise<Heard> {
  const extractor = createFeatureExtractor();
  const detector = createVoiceDetector(voiceSession);
  if (signal.aborted) throw abortError(signal);
  for await (const chunk of chunks) {
    if (signal.aborted) throw abortError(signal);
    extractor.push(chunk);
    await detector.push(chunk);
  }
  return { features: extractor.finish(), voiceProbabilities: await detector.finish() };
}
