import { failureMessages, type Fault } from '../faults/fault-types.ts';
import type { MediaFacts } from '../media/probe.ts';
import type { CreateBody } from './create-body.ts';
import type { Outcome } from './operation.ts';

/** Lengths that differ by more, as a part of the clip's, are refused. */
const maxLengthDifference = 0.15;

/** What comes of a job with these files, unless a fault decides otherwise. The output is as long as the audio, or the clip. */
export function foreseeOutcome(
  video: MediaFacts,
  audio: MediaFacts,
  request: Pick<CreateBody, 'enable_dynamic_duration'>,
  faults: readonly Fault[],
): Outcome {
  const scripted = faults.find((fault) => fault.kind === 'fail');
  if (scripted !== undefined)
    return { failure: scripted.message ?? failureMessages[scripted.reason ?? 'audio_missing'] };
  if (video.videoMs === null || video.audioMs === null || audio.audioMs === null)
    return { failure: failureMessages.audio_missing };
  if (Math.abs(audio.audioMs - video.videoMs) > maxLengthDifference * video.videoMs)
    return { failure: failureMessages.duration_mismatch };
  return { durationMs: request.enable_dynamic_duration ? audio.audioMs : video.videoMs };
}
