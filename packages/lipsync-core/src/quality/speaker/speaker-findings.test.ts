import { describe, expect, it } from 'vitest';
import type { VideoSpeech } from '../lips/video-speech.ts';
import { judgeWindows, type ScoredWindow } from './speaker-findings.ts';

/** Sound with speech in these windows of two seconds. */
function soundOf(speech: readonly boolean[]): VideoSpeech {
  const active = Uint8Array.from({ length: speech.length * 200 }, (_, step) =>
    speech[Math.floor(step / 200)] ? 1 : 0,
  );
  const levelDb = new Float32Array(active.length);
  return {
    hasSound: true,
    voiceFound: speech.includes(true),
    stepsPerSecond: 100,
    levelDb,
    bandsDb: new Float32Array(0),
    active,
    closure: new Float32Array(0),
    speechLevelDb: -20,
    noiseLevelDb: -60,
  };
}

/** Windows in a row with a score of the speaker and of the mouth, and of another face. */
function windowsOf(...scores: readonly (readonly [speaker: number, mouth: number, other?: number])[]): ScoredWindow[] {
  return scores.map(([speaker, mouth, other], index) => ({
    start: index * 50,
    tracked: { speaker, mouth },
    others: other === undefined ? [] : [{ speaker: other, mouth: 1 }],
  }));
}

const judge = (windows: readonly ScoredWindow[], speech: readonly boolean[]) => {
  const { parts = {}, labels = [] } = judgeWindows(windows, soundOf(speech));
  const values = Object.fromEntries(Object.entries(parts).map(([name, { value }]) => [name, value]));
  return {
    values,
    labels: labels.map(({ code, ranges }) => [code, ...ranges.map((range) => Object.values(range))]),
    parts,
  };
};

describe('Findings of LR-ASD', () => {
  it('The score of a speaking face is the median of windows with speech, and gives no label.', () => {
    const { values, labels } = judge(windowsOf([2, 1], [-1.6, 0], [1, 1], [-4, -2]), [true, true, true, false]);
    expect(values).toEqual({ speaker_score: 1, other_speaker_score: null, mouth_in_pauses_score: -2 });
    expect(labels).toEqual([]);
  });

  it('A mouth that stays still under speech is labeled in the windows where it does.', () => {
    const { labels } = judge(windowsOf([-3, -2], [-3.5, -2], [0.2, 0.5]), [true, true, true]);
    expect(labels).toEqual([['mouth_still_in_speech', [0, 4000]]]);
  });

  it('A low score with a moving mouth is not called still: the face may be dim or turned.', () => {
    expect(judge(windowsOf([-2, 0.5], [-1.8, 0.2]), [true, true]).labels).toEqual([]);
  });

  it('Another face that speaks is labeled only while the tracked face does not.', () => {
    const listener = judge(windowsOf([-3, -0.5, 1.2], [-2, -0.5, 0.9]), [true, true]);
    expect(listener.values['other_speaker_score']).toBe(1.05);
    expect(listener.labels).toEqual([['other_face_speaks', [0, 4000]]]);
    expect(judge(windowsOf([0.5, 1, 2.5]), [true]).labels).toEqual([]);
    expect(judge(windowsOf([-1, 0, -0.5]), [true]).labels).toEqual([]);
  });

  it('A mouth that speaks without speech is labeled.', () => {
    const { labels } = judge(windowsOf([2, 1], [-3, 0.4], [2, 1], [-3, 0.2]), [true, false, true, false]);
    expect(labels).toEqual([['mouth_speaks_in_silence', [2000, 4000], [6000, 8000]]]);
  });

  it('Without speech, a second face or a visible face, parts are null with the reason.', () => {
    const silent = judge(windowsOf([-3, -2]), [false]);
    expect(silent.parts['speaker_score']).toMatchObject({
      value: null,
      reason: 'No window of two seconds is mostly speech.',
    });
    expect(judge(windowsOf([2, 1]), [true]).parts['other_speaker_score']?.reason).toBe('The video shows one face.');
    const hidden = judge([{ start: 0, tracked: undefined, others: [] }], [true]);
    expect(hidden.parts['speaker_score']?.reason).toContain('not visible');
    expect(hidden.labels).toEqual([]);
  });
});
