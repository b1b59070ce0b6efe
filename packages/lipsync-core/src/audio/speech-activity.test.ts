import { describe, expect, it } from 'vitest';
import { findSpeech, type SpeechActivity } from './speech-activity.ts';
import { bandCount } from './speech-features.ts';

/** One character per 10 ms: `#` loud, `-` background, anything else silence. */
function listenTo(sound: string, voice: (step: number) => number): SpeechActivity {
  const levels = Array.from(sound, (character) => ({ '#': -15, '-': -45 })[character] ?? -90);
  const stepCount = levels.length;
  const features = { stepCount, levelDb: Float32Array.from(levels), bandsDb: new Float32Array(stepCount * bandCount) };
  return findSpeech(
    features,
    Float32Array.from({ length: Math.ceil(stepCount / 3.2) }, (_, window) => voice(window * 3.2)),
  );
}

const talk = (steps: number): string => '#'.repeat(steps);
const background = (steps: number): string => '-'.repeat(steps);
const always = (): number => 0.9;

describe('findSpeech', () => {
  it('bridges the gap inside a word and keeps the pause between two', () => {
    const { active } = listenTo(talk(50) + background(12) + talk(50) + background(40) + talk(50), always);
    expect(active.subarray(50, 62).every((flag) => flag === 1)).toBe(true);
    expect(active.subarray(115, 150).every((flag) => flag === 0)).toBe(true);
  });

  it('does not take a loud sound for speech where the detector hears no voice', () => {
    const { active, voiceFound } = listenTo(talk(100) + background(60) + talk(30), (step) => (step < 100 ? 0.9 : 0.01));
    expect(voiceFound).toBe(true);
    expect(active.subarray(170).every((flag) => flag === 0)).toBe(true);
  });

  it('needs three voice windows in a row to find a voice', () => {
    const sound = background(100) + talk(60) + background(100);
    expect(listenTo(sound, (step) => (step >= 100 && step < 106 ? 0.9 : 0.05)).voiceFound).toBe(false);
    expect(listenTo(sound, (step) => (step >= 100 && step < 110 ? 0.9 : 0.05)).voiceFound).toBe(true);
  });

  it('measures the level of speech and of what is between it', () => {
    const { speechLevelDb, noiseLevelDb } = listenTo(background(100) + talk(100) + background(100), (step) =>
      step >= 100 && step < 200 ? 0.9 : 0,
    );
    expect(speechLevelDb).toBe(-15);
    expect(noiseLevelDb).toBe(-45);
  });

  it('without a voice follows what comes and goes, and nothing that is never heard', () => {
    const { active } = listenTo(`${' '.repeat(50)}${background(50)}`.repeat(3), () => 0);
    expect(active.includes(1)).toBe(true);
    expect(listenTo(' '.repeat(200), () => 0).active.includes(1)).toBe(false);
  });
});
