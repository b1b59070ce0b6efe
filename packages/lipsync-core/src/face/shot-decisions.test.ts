import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { appearanceBytes } from './face-appearance.ts';
import { landmarkCount, type FaceFrame } from './face-types.ts';
import { ObservationStore, type FaceObservation } from './observation-store.ts';
import { ShotDecisions } from './shot-decisions.ts';

const framesPerSecond = 10;
const seconds = (count: number): number => count * framesPerSecond;

/** Landmarks of a face whose points move a little from frame to frame, `x` pixels from the left. */
function faceAt(frame: number, x: number): Float32Array {
  return new Float32Array(landmarkCount * 3).map((_, index) =>
    index % 3 === 0 ? x + (index % 83) : (index % 97) + 3 * Math.sin(frame * 0.7 + index),
  );
}

interface ScriptedFace {
  readonly identity: number;
  readonly x: number;
  readonly prominence: number;
  readonly isSeen: (frame: number) => boolean;
  readonly isOverexposed?: (frame: number) => boolean;
}

/** A usual look with some noise, or that of overexposed skin. */
function lookOf(frame: number, isOverexposed: boolean): Uint8Array {
  return new Uint8Array(appearanceBytes).map((_, index) => (isOverexposed ? 250 : 90) + ((frame * 7 + index * 13) % 5));
}

function observe({ identity, x, prominence, isSeen, isOverexposed }: ScriptedFace, frame: number): FaceObservation[] {
  if (!isSeen(frame)) return [];
  const appearance = lookOf(frame, isOverexposed?.(frame) ?? false);
  return [{ frame, identity, points: faceAt(frame, x), appearance, prominence }];
}

interface Decided {
  readonly frames: readonly FaceFrame[];
  readonly decisions: ShotDecisions;
  /** Number of decisions. */
  readonly sections: number;
}

/** Decides a shot in sections as its frames are observed, or as a whole. */
async function decideShot(faces: readonly ScriptedFace[], frameCount: number, inSections = true): Promise<Decided> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-shot-'));
  const store = new ObservationStore(join(folder, 'observations'));
  onTestFinished(async () => {
    store.dispose();
    await rm(folder, { recursive: true });
  });
  const decisions = new ShotDecisions({ start: 0, framesPerSecond, store });
  const frames: FaceFrame[] = [];
  let sections = 1;
  for (let frame = 0; frame < frameCount; frame += 1) {
    for (const face of faces) for (const observation of observe(face, frame)) store.add(observation);
    const end = inSections ? decisions.sectionEnd(frame + 1) : undefined;
    if (end === undefined) continue;
    frames.push(...decisions.decide(end, frame + 1));
    sections += 1;
  }
  frames.push(...decisions.decide(frameCount, frameCount));
  return { frames, decisions, sections };
}

const speaker: ScriptedFace = { identity: 0, x: 100, prominence: 0.5, isSeen: () => true };

/** The x position of the face in a frame, NaN without a face. */
const placeOf = ({ frames }: Decided, frame: number): number =>
  Math.round((frames[frame]?.points[0] ?? NaN) / 100) * 100;

describe('ShotDecisions', () => {
  it('A shot of up to 20 s is decided as a whole, and a longer one gives the same landmarks in sections.', async () => {
    const gaps: ScriptedFace = { ...speaker, isSeen: (frame) => frame % 100 > 2 };
    expect((await decideShot([gaps], seconds(20) - 1)).sections).toBe(1);
    const [whole, parts] = [await decideShot([gaps], seconds(35), false), await decideShot([gaps], seconds(35))];
    expect(parts.sections).toBe(3);
    expect(parts.frames).toEqual(whole.frames);
    expect(new Set(parts.frames.map(({ presence }) => presence))).toEqual(new Set(['absent', 'found', 'interpolated']));
  });

  it('A mouth that is hidden from one section to another has one hidden range.', async () => {
    const isOverexposed = (frame: number): boolean => frame >= seconds(28) && frame < seconds(31);
    const parts = await decideShot([{ ...speaker, isOverexposed }], seconds(50));
    const whole = await decideShot([{ ...speaker, isOverexposed }], seconds(50), false);
    expect(parts.decisions.hiddenRanges).toEqual(whole.decisions.hiddenRanges);
    expect(parts.decisions.hiddenRanges).toContainEqual({
      start: seconds(28),
      end: seconds(31),
      reason: 'overexposed',
    });
  });

  it('A face keeps being shown beside a somewhat larger one that comes later, and gives way to a much larger one.', async () => {
    const later = (prominence: number): ScriptedFace => ({
      identity: 1,
      x: 900,
      prominence,
      isSeen: (frame) => frame >= seconds(25),
    });
    const kept = await decideShot([speaker, later(0.7)], seconds(60));
    expect([0, 30, 59].map((second) => placeOf(kept, seconds(second)))).toEqual([100, 100, 100]);
    const replaced = await decideShot([speaker, later(1.5)], seconds(60));
    expect([0, 24, 59].map((second) => placeOf(replaced, seconds(second)))).toEqual([100, 100, 900]);
    const choices = replaced.decisions.listFaceChoices();
    expect(choices.map(({ chosen }) => Math.round(chosen.x / 100) * 100)).toEqual([900]);
  });

  it('Another face is shown as soon as the first one has left, even if it was visible before.', async () => {
    const first: ScriptedFace = { ...speaker, isSeen: (frame) => frame < seconds(24) };
    const second: ScriptedFace = { identity: 1, x: 900, prominence: 0.2, isSeen: () => true };
    const decided = await decideShot([first, second], seconds(50));
    expect([0, 23, 24, 49].map((time) => placeOf(decided, seconds(time)))).toEqual([100, 100, 900, 900]);
  });
});
