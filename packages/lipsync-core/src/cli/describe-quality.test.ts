import { expect, it } from 'vitest';
import { toQualityView, type Quality } from '../contract/index.ts';
import { describeQuality, summarizeQuality } from './describe-quality.ts';

const late: Quality = {
  syncScore: null,
  audioQuality: 0.84,
  videoQuality: null,
  grade: 'unknown',
  sync: {
    method: 'lip_audio_correlation',
    offsetMs: -200,
    offsetIntervalMs: [-220, -180],
    strength: 0.781,
    lseC: null,
    lseD: null,
    windows: 5,
    reason: null,
  },
  parts: {
    sync_strength: { value: 0.781, unit: 'correlation', score: 0.781, reason: null },
    silence: { value: 0, unit: 'share of the time', score: 1, reason: null },
    loudness: { value: -23.04, unit: 'LUFS', score: 0.3, reason: null },
    lse_d: { value: null, unit: 'distance', score: null, reason: 'SYNCNET_MODEL_PATH is not set.' },
    bandwidth: { value: null, unit: 'Hz', score: null, reason: 'There is no sound.' },
    clipping: { value: null, unit: 'ratio', score: null, reason: 'There is no sound.' },
  },
  source: null,
  labels: [
    {
      code: 'sound_late',
      message: 'The sound is 200 ms later than the lips.',
      ranges: [{ startMs: 0, endMs: 500_000 }],
      value: 200,
      threshold: 140,
      fatal: true,
    },
    {
      code: 'mouth_frozen',
      message: 'The mouth does not move.',
      ranges: Array.from({ length: 8 }, (_, index) => ({ startMs: index * 61_000, endMs: index * 61_000 + 550 })),
      value: 0.0123,
      threshold: 0.02,
      fatal: false,
    },
  ],
  methodVersion: 'test',
  models: {},
};

it('The description starts with the verdict, then lists defects with times, parts by score, and what is unknown.', () => {
  const text = describeQuality({ file: 'take\u001b[2J.mp4', quality: late, durationMs: 500_000 });
  expect(text).not.toContain('\u001b');
  expect(text).toContain('take[2J.mp4 · 500.0 s\n');
  expect(text).toMatch(/Sound and lips +sound 200 ms late, from 220 ms late to 180 ms late; strength 0\.78\n/);
  expect(text).toContain('sound_late (a take with it is rejected): whole video: 200 ms, limit 140 ms\n');
  expect(text).toContain('0:00.0–0:00.6, 1:01.0–1:01.6');
  expect(text).toContain('and 2 more');
  expect(text).toMatch(/Sound +0\.84 of 1, from 2 of 3 parts\n/);
  expect(text).toMatch(/Lip-sync +no grade: SYNCNET_MODEL_PATH is not set\n/);
  expect(text).toMatch(/Defects +sound_late, mouth_frozen: see below\n/);
  expect(text.indexOf('loudness')).toBeLessThan(text.indexOf('sync_strength'));
  expect(text).toContain('At least 0.9 of 1\n  silence\n');
  expect(text).toMatch(
    /Not measured\n  SYNCNET_MODEL_PATH is not set\.\n    lse_d\n  There is no sound\.\n    bandwidth, clipping\n$/,
  );
});

it('The description of a video in which nothing was measured names the reason of the offset and no defect.', () => {
  const sync = { ...late.sync, method: 'lip_audio_correlation', windows: 0, lseC: null, lseD: null } as const;
  const unknown = { ...sync, offsetMs: null, offsetIntervalMs: null, strength: null, reason: 'There is no face.' };
  const text = describeQuality({ file: 'a.mp4', quality: { ...late, sync: unknown, labels: [] }, durationMs: 900 });
  expect(text).toContain('offset unknown: There is no face.');
  expect(text).toMatch(/Defects +none found\n/);
  expect(describeQuality({ file: 'a.mp4', quality: { ...late, sync: null }, durationMs: 900 })).toContain(
    'not measured',
  );
});

it('The summary of a quality states lip-sync, picture, sound and defects in one line.', () => {
  expect(summarizeQuality(toQualityView(late))).toBe(
    'lip-sync not graded, picture unknown, sound 0.84 of 1; defects: sound_late, mouth_frozen',
  );
  expect(summarizeQuality(toQualityView({ ...late, syncScore: 0.9, grade: 'very_good', labels: [] }))).toBe(
    'lip-sync very good (0.90), picture unknown, sound 0.84 of 1; defects: none found',
  );
});

it('The description states why SyncNet gave no score, also when the model is configured.', () => {
  const describe = (value: number | null, reason: string | null): string => {
    const parts = { lse_d: { value, unit: 'distance', score: null, reason } };
    return describeQuality({ file: 'a.mp4', quality: { ...late, parts }, durationMs: 900 });
  };
  expect(describe(null, 'The face is smaller than 100 pixels.')).toMatch(
    /no grade: The face is smaller than 100 pixels\n/,
  );
  expect(describe(8.1, null)).toMatch(/no grade: the mouth does not move\n/);
});
