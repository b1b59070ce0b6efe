import { measureLips, type FaceTrack } from '../../face/index.ts';

/** Frames to learn a mouth from, at most. */
const mostFrames = 40;
/** The window of frames that is decoded for it, made of short parts. */
const partFrames = 60;
const windowParts = 4;
/** Found frames that are plenty for a window. */
const plentyFound = 120;
/** Span of lip openings from which on a mouth is seen both closed and talking. */
const talkingSpan = 0.06;
/** How far behind a window with plenty of the face one with a talking mouth is still looked for; decoding begins at the front each time. */
const furtherFrames = 600;

/** One stretch of the track: in how many frames the face was found, and how the lips stood there. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly found: number;
  readonly least: number;
  readonly most: number;
}

/**
 * Chooses among the first `usedFrames` frames of a track those to learn the speaker's mouth from, ascending: frames in
 * which the face was found, spread over the earliest window that shows plenty of it and a mouth both open and closed;
 * failing that, over the one that shows most of the face. Empty when no face was found.
 */
export function chooseLearningFrames(track: FaceTrack, usedFrames: number): readonly number[] {
  const { start, end } = chooseWindow(track, usedFrames);
  const found: number[] = [];
  for (let frame = start; frame < end; frame += 1) if (track.frame(frame).presence === 'found') found.push(frame);
  const step = Math.ceil(found.length / mostFrames);
  return found.filter((_, index) => index % step === 0);
}

function chooseWindow(track: FaceTrack, usedFrames: number): Stretch {
  let best: Stretch = { start: 0, end: 0, found: 0, least: Infinity, most: -Infinity };
  const parts: Stretch[] = [];
  for (let start = 0; start < usedFrames; start += partFrames) {
    parts.push(lookAt(track, start, Math.min(start + partFrames, usedFrames)));
    if (parts.length < windowParts && start + partFrames < usedFrames) continue;
    if (parts.length > windowParts) parts.shift();
    const window = parts.reduce(joined);
    if (window.found >= plentyFound && window.most - window.least >= talkingSpan) return window;
    if (Math.min(window.found, plentyFound) > Math.min(best.found, plentyFound)) best = window;
    if (best.found >= plentyFound && window.end >= best.end + furtherFrames) return best;
  }
  return best;
}

function lookAt(track: FaceTrack, start: number, end: number): Stretch {
  let found = 0;
  let least = Infinity;
  let most = -Infinity;
  for (let frame = start; frame < end; frame += 1) {
    const { presence, points } = track.frame(frame);
    if (presence !== 'found') continue;
    const { opening } = measureLips(points);
    found += 1;
    least = Math.min(least, opening);
    most = Math.max(most, opening);
  }
  return { start, end, found, least, most };
}

function joined(first: Stretch, second: Stretch): Stretch {
  return {
    start: first.start,
    end: second.end,
    found: first.found + second.found,
    least: Math.min(first.least, second.least),
    most: Math.max(first.most, second.most),
  };
}
