import type { GrowingTrack } from '../../face/growing-track.ts';
import { measureLips } from '../../face/index.ts';

const maximumFrames = 40;
/** The window of frames that is decoded consists of `partsPerWindow` parts. */
const framesPerPart = 60;
const partsPerWindow = 4;
/** Frames with a face from which a window is good. */
const sufficientFaces = 120;
/** Range of lip openings from which a window shows the mouth both closed and talking. */
const talkingRange = 0.06;
/**
 * Distance behind a good window within which a talking one is still preferred. Decoding always starts at the beginning.
 */
const searchAheadFrames = 600;

/** A track whose frames can be waited for. */
type SearchedTrack = Pick<GrowingTrack, 'ready' | 'frame' | 'visibility'>;

/** A part of the track: number of frames with a face, and range of their lip openings. */
interface TrackPart {
  readonly start: number;
  readonly end: number;
  readonly faces: number;
  readonly smallestOpening: number;
  readonly largestOpening: number;
}

/**
 * Selects frames for the mouth reference among the first `usedFrames` frames of a track, in ascending order: found
 * faces with a visible mouth, spread evenly over the earliest window with enough faces and a mouth both open and closed,
 * or else over the window with the most faces. Empty when no face was found. Waits for the searched frames only.
 */
export async function selectReferenceFrames(track: SearchedTrack, usedFrames: number): Promise<readonly number[]> {
  const { start, end } = await chooseWindow(track, usedFrames);
  const found: number[] = [];
  for (let frame = start; frame < end; frame += 1)
    if (track.visibility(frame) > 0 && track.frame(frame).presence === 'found') found.push(frame);
  const step = Math.ceil(found.length / maximumFrames);
  return found.filter((_, index) => index % step === 0);
}

async function chooseWindow(track: SearchedTrack, usedFrames: number): Promise<TrackPart> {
  let best: TrackPart = { start: 0, end: 0, faces: 0, smallestOpening: Infinity, largestOpening: -Infinity };
  const parts: TrackPart[] = [];
  for (let start = 0; start < usedFrames; start += framesPerPart) {
    const end = Math.min(start + framesPerPart, usedFrames);
    await track.ready(end - 1);
    parts.push(measurePart(track, start, end));
    if (parts.length < partsPerWindow && start + framesPerPart < usedFrames) continue;
    if (parts.length > partsPerWindow) parts.shift();
    const window = parts.reduce(join);
    const isTalking = window.largestOpening - window.smallestOpening >= talkingRange;
    if (window.faces >= sufficientFaces && isTalking) return window;
    if (Math.min(window.faces, sufficientFaces) > Math.min(best.faces, sufficientFaces)) best = window;
    if (best.faces >= sufficientFaces && window.end >= best.end + searchAheadFrames) return best;
  }
  return best;
}

function measurePart(track: SearchedTrack, start: number, end: number): TrackPart {
  let faces = 0;
  let smallestOpening = Infinity;
  let largestOpening = -Infinity;
  for (let frame = start; frame < end; frame += 1) {
    const { presence, points } = track.frame(frame);
    if (presence !== 'found' || track.visibility(frame) === 0) continue;
    const { opening } = measureLips(points);
    faces += 1;
    smallestOpening = Math.min(smallestOpening, opening);
    largestOpening = Math.max(largestOpening, opening);
  }
  return { start, end, faces, smallestOpening, largestOpening };
}

function join(first: TrackPart, second: TrackPart): TrackPart {
  return {
    start: first.start,
    end: second.end,
    faces: first.faces + second.faces,
    smallestOpening: Math.min(first.smallestOpening, second.smallestOpening),
    largestOpening: Math.max(first.largestOpening, second.largestOpening),
  };
}
