import type { ProbeContext } from '../input-checks.ts';
import type { ClipFacts } from '../media-types.ts';
import { examineClip } from '../picture/clip-probe.ts';
import { soundTrackOf, type SoundTrack } from '../sound/sound-reader.ts';

/** A probed video: its picture as `probeClip` and its sound as `probeSound` describe it. */
interface VideoFacts {
  readonly picture: ClipFacts;
  /** Null without sound that can be decoded. */
  readonly sound: SoundTrack | null;
}

/** Probes picture and sound by one run of ffprobe, because each start costs as much as decoding seconds of a video. */
export async function probeVideo(path: string, context: ProbeContext): Promise<VideoFacts> {
  const { facts, report } = await examineClip(path, context);
  return { picture: facts, sound: soundTrackOf(report) };
}
