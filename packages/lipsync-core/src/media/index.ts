export { type PixelFormat } from './decode-filter.ts';
export { toolVersions, type ToolVersions } from './ffmpeg-capabilities.ts';
export { type FrameStatistics } from './frame-pool.ts';
export {
  openFrames,
  type Frame,
  type FrameStream,
  type RangeOptions,
  type TimelineFrameOptions,
} from './frame-reader.ts';
export {
  framesPerSecond,
  type ClipFacts,
  type ColorTags,
  type FrameRate,
  type MediaLimits,
  type Picture,
  type SpeechFacts,
} from './media-types.ts';
export { probeClip, probeSpeech, probeTake, type ProbeContext, type TakeFacts } from './probe.ts';
export { readSpeech, type SpeechReadOptions, type SpeechStream } from './speech-reader.ts';
export { openTake, type TakeOptions, type TakeWriter } from './take-writer.ts';
export { openFramesAhead } from './threads/frames-ahead.ts';
export { openTakeAside } from './threads/take-aside.ts';
export {
  clipFrameAt,
  frameTimeMs,
  planTimeline,
  type ClipWindow,
  type Timeline,
  type TimelineOptions,
} from './timeline.ts';
export { findTakeFault, type ReceivedTakeOptions } from './received-take.ts';
export {
  keepsPictures,
  swapSound,
  writeSpeechTrack,
  type SoundSwapOptions,
  type SpeechTrackOptions,
} from './speech-track.ts';
export { passThroughRenderTask, passThroughTask } from './pass-through-task.ts';
export {
  drawEach,
  runTakeLoop,
  type FrameStage,
  type StageFigures,
  type TakeLoopOptions,
  type TakeReport,
} from './take-loop.ts';
