const shortestPauseS = 0.3;
/** Frames at each end of a pause in which the mouth may still be moving. */
const rampFrames = 3;
/** A frame is quiet if its energy is below this share of the 95th percentile. */
const quietShare = 0.05;

/** Lists the frames in the middle of pauses longer than 0.3 s. */
export function pauseFrames(energy: Float32Array, frameRate: number): number[] {
  const quietBelow = (energy.toSorted()[Math.floor(energy.length * 0.95)] ?? 0) * quietShare;
  const found: number[] = [];
  let start = 0;
  for (let index = 0; index <= energy.length; index += 1) {
    const quiet = index < energy.length && (energy[index] ?? 0) < quietBelow;
    if (quiet) continue;
    if (index - start > shortestPauseS * frameRate) {
      for (let inside = start + rampFrames; inside < index - rampFrames; inside += 1) found.push(inside);
    }
    start = index + 1;
  }
  return found;
}
