import { describe, expect, it } from 'vitest';
import { detectSpeechActivity, type SpeechActivity } from './speech-activity.ts';
import { bandCount } from './speech-features.ts';

/** One character per 10 ms: `#` is loud, `-` background, anything else silence. */
function detect(sound: string, voice: (step: number) => number): SpeechActivity {
  const levels = Array.from(sound, (character) => ({ '#': -15, '-': -45 })[character] ?? -90);
  const stepCount = levels.length;
  const features = { stepCount, levelDb: Float32Array.from(levels), bandsDb: new Float32Array(stepCount * bandCount) };
  return detectSpeechActivity(
    features,
    Float32Array.from({ length: Math.ceil(stepCount / 3.2) }, (_, window) => voice(window * 3.2)),
  );
}

const talk = (steps: number): string => '#'.repeat(steps);
const background = (steps: number): string => '-'.repeat(steps);
const always = (): number => 0.9;

describe('detectSpeechActivity', () => {
  it('A gap within a word is bridged, and a pause between words is kept.', () => {
    const { active } = detect(talk(50) + background(12) + talk(50) + background(40) + talk(50), always);
    expect(active.subarray(50, 62).every((flag) => flag === 1)).toBe(true);
    expect(active.subarray(115, 150).every((flag) => flag === 0)).toBe(true);
  });

  it('A loud sound without voice is not speech.', () => {
    const { active, voiceFound } = detect(talk(100) + background(60) + talk(30), (step) => (step < 100 ? 0.9 : 0.01));
    expect(voiceFound).toBe(true);
    expect(active.subarray(170).every((flag) => flag === 0)).toBe(true);
  });

  it('A voice is found from three consecutive voice windows on.', () => {
    const sound = background(100) + talk(60) + background(100);
    expect(detect(sound, (step) => (step >= 100 && step < 106 ? 0.9 : 0.05)).voiceFound).toBe(false);
    expect(detect(sound, (step) => (step >= 100 && step < 110 ? 0.9 : 0.05)).voiceFound).toBe(true);
  });

  it('The levels of speech and background are measured separately.', () => {
    const { speechLevelDb, noiseLevelDb } = detect(background(100) + talk(100) + background(100), (step) =>
      step >= 100 && step < 200 ? 0.9 : 0,
    );
    expect(speechLevelDb).toBe(-15);
    expect(noiseLevelDb).toBe(-45);
  });

  it('Without a voice, intermittent sound is active and silence is not.', () => {
    const { active } = detect(`${' '.repeat(50)}${background(50)}`.repeat(3), () => 0);
    expect(active.includes(1)).toBe(true);
    expect(detect(' '.repeat(200), () => 0).active.includes(1)).toBe(false);
  });
});
