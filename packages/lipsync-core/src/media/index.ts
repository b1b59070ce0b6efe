export { canSeek, withoutSeeking, type PictureArea, type PixelFormat } from './picture/decode-filter.ts';
export { getToolVersions, type ToolVersions } from './ffmpeg-process.ts';
export { type FrameStatistics } from './picture/frame-decoder.ts';
export {
  openFrames,
  type Frame,
  type FrameStream,
  type RangeOptions,
  type TimelineFrameOptions,
} from './picture/frame-reader.ts';
export {
  framesPerSecond,
  type ClipFacts,
  type ColorTags,
  type FrameRate,
  type MediaLimits,
  type Picture,
  type SoundMix,
  type SoundSource,
  type SpeechFacts,
} from './media-types.ts';
export { type ProbeContext } from './input-checks.ts';
export { probeClip } from './picture/clip-probe.ts';
export { probeSpeech, type SpeechProbeContext } from './sound/speech-probe.ts';
export { findTakeFault, probeTake, type ReceivedTakeOptions, type TakeFacts } from './takes/take-probe.ts';
export {
  probeSound,
  readMonoSound,
  readSound,
  shiftSound,
  type SoundFormat,
  type SoundStream,
  type SoundTrack,
} from './sound/sound-reader.ts';
export { expectedPictureOf, probeVideo, type ExpectedPicture, type VideoFacts } from './takes/video-probe.ts';
export { reencode, reencodeRecipes, type ReencodeRecipe } from './picture/reencode.ts';
export { readSpeech, type SpeechReadOptions, type SpeechStream } from './sound/speech-reader.ts';
export { defaultTakeEncoding, type TakeEncoding } from './takes/take-encoding.ts';
export { labelAreaOf, labelEndMs, type TakeLabel } from './takes/label-picture.ts';
export { labelTake } from './takes/take-label.ts';
export type { TakeOptions } from './takes/take-encoder.ts';
export { openTake, type TakeWriter } from './takes/take-writer.ts';
export { openFramesAhead, openTakeAside } from './threads/media-threads.ts';
export {
  clipFrameAt,
  frameTimeMs,
  planTimeline,
  seamFrameAt,
  type ClipWindow,
  type Timeline,
  type TimelineOptions,
} from './timeline.ts';
export {
  canCopyVideo,
  swapSound,
  writeSpeechTrack,
  type SoundSwapOptions,
  type SpeechTrackOptions,
} from './takes/speech-track.ts';
export {
  drawEach,
  passThroughRenderTask,
  passThroughTask,
  processedFrames,
  runTakeLoop,
  type FrameStage,
  type StageFigures,
  type TakeLoopOptions,
  type TakeReport,
  type TakeSegment,
} from './takes/take-loop.ts';
export { joinSegments, type JoinOptions, type RenderedSegment } from './takes/join-segments.ts';
