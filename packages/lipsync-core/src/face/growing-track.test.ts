import { describe, expect, it } from 'vitest';
import { abortError } from '../errors/index.ts';
import { scriptedTrack } from '../testing/scripted-track.ts';
import type { FaceTrack } from './face-types.ts';
import { GrowingTrack, type DecidedFrames } from './growing-track.ts';

const never = new AbortController().signal;
const points = new Float32Array(3);

/** Tracking that the test drives. */
function drivenTracking(frameCount: number) {
  const { promise, resolve, reject } = Promise.withResolvers<FaceTrack>();
  let decide = (_frames: DecidedFrames): void => undefined;
  const track = new GrowingTrack(
    frameCount,
    ({ onDecided }, signal) => {
      decide = onDecided;
      signal.addEventListener('abort', () => reject(abortError(signal)));
      return promise;
    },
    never,
  );
  const grow = (readyFrames: number, hiddenFrom = Infinity): void =>
    decide({
      readyFrames,
      description: {
        frameCount: readyFrames + 2,
        shotStarts: [0, 4],
        absentRanges: [],
        hiddenRanges: [{ start: hiddenFrom, end: frameCount, reason: 'covered' }],
        fadeFrames: 1,
      },
      read: () => ({ presence: 'found', points }),
    });
  return { track, grow, finish: resolve, fail: reject };
}

/** Whether a promise is settled once all due callbacks have run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const end = (): void => void (settled = true);
  promise.then(end, end);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

describe('GrowingTrack', () => {
  it('A frame is ready when it is decided, with its shot and the fade of the mouth that is hidden after it.', async () => {
    const { track, grow } = drivenTracking(20);
    const ready = track.ready(6);
    grow(5);
    expect(await isSettled(ready)).toBe(false);
    expect(() => track.frame(6)).toThrow(RangeError);
    grow(8, 8);
    await ready;
    expect([track.frame(6), track.shotAt(3), track.shotAt(6)]).toEqual([{ presence: 'found', points }, 0, 1]);
    expect([6, 7].map((frame) => track.visibility(frame))).toEqual([1, 128 / 255]);
    await expect(track.ready(20)).rejects.toThrow(RangeError);
    await track.close();
  });

  it('The complete track replaces the decided frames and is closed with it.', async () => {
    const { track, grow, finish } = drivenTracking(20);
    grow(5);
    let closed = 0;
    finish({ ...scriptedTrack(20, () => points), close: () => void (closed += 1) });
    await track.ready(19);
    expect(track.frame(19).presence).toBe('found');
    expect((await track.complete()).frameCount).toBe(20);
    await track.close();
    expect(closed).toBe(1);
  });

  it('An error of tracking reaches frames that wait and all that are requested later.', async () => {
    const { track, grow, fail } = drivenTracking(20);
    grow(5);
    const waiting = track.ready(10);
    const failure = new Error('The clip is damaged.');
    fail(failure);
    await expect(waiting).rejects.toBe(failure);
    await expect(track.ready(11)).rejects.toBe(failure);
    await expect(track.complete()).rejects.toBe(failure);
    await expect(track.ready(4)).rejects.toBe(failure);
    expect(() => track.frame(4)).toThrow(failure);
    await track.close();
  });

  it('Closing aborts tracking and waits for its end.', async () => {
    const { track } = drivenTracking(20);
    const waiting = track.ready(0);
    await track.close();
    await expect(waiting).rejects.toMatchObject({ code: 'canceled' });
  });
});
