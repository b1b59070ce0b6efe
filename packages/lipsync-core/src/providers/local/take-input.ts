import { dirname } from 'node:path';
import type { SilenceMode } from '../../contract/index.ts';
import type { ClipFacts, SpeechFacts, TakeEncoding, TakeLabel, TakeSegment, Timeline } from '../../media/index.ts';
import type { TakeRequest } from '../provider.ts';

/** Input of the render task of a local provider. Plain data: it crosses a process boundary. */
export interface LocalTakeInput {
  readonly clipPath: string;
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly mouthCurvePath: string;
  readonly silenceMode: SilenceMode;
  readonly encoding?: TakeEncoding | undefined;
  readonly label?: TakeLabel | undefined;
  /** As in `TakeRequest`. */
  readonly segment?: TakeSegment | undefined;
  readonly trackPath?: string | undefined;
  readonly trackCacheFolder: string;
  readonly workFolder: string;
  readonly takePath: string;
}

/** Selects the parts of a request that the render process needs. The take's folder becomes the work folder. */
export function toLocalTakeInput(request: TakeRequest, trackCacheFolder: string): LocalTakeInput {
  const { clipPath, clipDigest, clip, speechPath, speech, timeline, mouthCurvePath, silenceMode } = request;
  const { encoding, label, segment, trackPath, takePath } = request;
  return {
    clipPath,
    clipDigest,
    clip,
    speechPath,
    speech,
    timeline,
    mouthCurvePath,
    silenceMode,
    encoding,
    label,
    segment,
    trackPath,
    takePath,
    trackCacheFolder,
    workFolder: dirname(takePath),
  };
}
