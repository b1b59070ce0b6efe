import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { controlClaims, measureControls, type Control } from '../../src/testing/quality-controls.ts';
import { lipLabels, lipParts } from '../../src/quality/lips/lip-tables.ts';
import { TakeMaker, taskContext } from './take-fixture.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const presenter = join(samples, 'presenter.mp4');

describe('Takes with known faults', () => {
  let controls: ReadonlyMap<string, Control>;

  beforeAll(async () => {
    await using maker = await TakeMaker.create();
    const clip = ['-t', '5', '-an', '-vf', 'scale=400:-2', '-c:v', 'libx264', '-preset', 'veryfast'];
    const made = await measureControls({
      clipPath: await maker.ffmpeg('-i', presenter, ...clip, 'clip.mp4'),
      speechPath: await maker.ffmpeg('-i', join(samples, 'speech.wav'), '-t', '5', 'speech.wav'),
      otherSpeechPath: await maker.ffmpeg('-i', presenter, '-t', '5', 'other.wav'),
      folder: maker.folder,
      context: taskContext(),
    });
    controls = new Map(made.map((control) => [control.name, control]));
  }, 300_000);

  const scoreOf = (control: string, part: string): number | null =>
    controls.get(control)?.findings.parts?.[part]?.score ?? null;

  it.each(controlClaims.flatMap(({ part, faults }) => faults.map((fault) => [part, fault] as const)))(
    'The part %s rates a take with %s lower than a good one, or as unknown.',
    (part, fault) => {
      const [good, score] = [scoreOf('preview', part), scoreOf(fault, part)];
      // A part that the good take has no pause for is compared with the middle of its scale.
      expect(score === null || score < (good ?? 0.5)).toBe(true);
    },
  );

  it('Every part that is reported sees at least one fault.', () => {
    const seen = new Set(controlClaims.map(({ part }) => part));
    expect(seen).toEqual(new Set(Object.values(lipParts).map(({ name }) => name)));
  });

  it.each([
    ['sound −10 frames', 400],
    ['sound −5 frames', 200],
    ['sound +5 frames', -200],
    ['sound +10 frames', -400],
  ])('The offset of a take with %s is measured within a frame, or unknown.', (name, expected) => {
    const { findings, labels } = controls.get(name) ?? { findings: {}, labels: [] };
    const offset = findings.sync?.offsetMs ?? null;
    if (Math.abs(expected) === 200) expect(offset).not.toBeNull();
    if (offset === null) return;
    expect(Math.abs(offset - expected)).toBeLessThanOrEqual(40);
    expect(labels).toContain(expected > 0 ? 'sound_early' : 'sound_late');
  });

  it.each(['other speech', 'reversed sound', 'silence', 'frozen mouth', 'untouched clip', 'lips of a still'])(
    'The offset of a take with %s is unknown, with the reason.',
    (name) => {
      expect(controls.get(name)?.findings.sync).toMatchObject({ offsetMs: null, reason: expect.stringMatching(/\.$/) });
    },
  );

  it('Faults have their labels, and a good take has none.', () => {
    const labelsOf = (name: string): readonly string[] => controls.get(name)?.labels ?? [];
    expect(labelsOf('preview')).toEqual([]);
    expect(labelsOf('silence')).toContain('mouth_moves_in_silence');
    expect(labelsOf('frozen mouth')).toContain('mouth_frozen');
    expect(labelsOf('untouched clip')).toContain('lips_unchanged');
    expect(labelsOf('lips of a still')).toContain('mouth_frozen');
  });

  it.each(['chords', 'no sound'])('A take with %s is not said to move its lips in pauses of speech.', (name) => {
    const { findings, labels } = controls.get(name) ?? {};
    expect(labels).not.toContain('mouth_moves_in_silence');
    expect(labels).not.toContain('mouth_open_in_pause');
    const reason = name === 'chords' ? 'The sound contains no voice.' : 'The video has no sound.';
    expect(findings?.parts?.['silent_motion']).toMatchObject({ value: null, reason });
    expect(findings?.parts?.['pause_opening']).toMatchObject({ value: null, reason });
  });

  it('A mouth that moves over a silent sound is labeled without a mention of speech.', () => {
    const labels = controls.get('silence')?.findings.labels ?? [];
    expect(labels.map(({ code, message }) => [code, message])).toEqual([
      ['mouth_moves_in_silence', 'The lips move although the sound is silent.'],
    ]);
  });

  it('Pauses of less than a second give no label, because a mouth that speaks is open around them.', () => {
    const { findings, labels = [] } = controls.get('other speech') ?? {};
    expect(findings?.parts?.['silent_motion']?.value).toBeGreaterThan(lipLabels.mouthMovesInSilence.threshold);
    expect(labels).not.toContain('mouth_moves_in_silence');
  });

  it('A mouth that never moves has no opening in pauses, because nothing shows how far it opens.', () => {
    const part = controls.get('frozen mouth in silence')?.findings.parts?.['pause_opening'];
    expect(part).toMatchObject({ value: null, reason: 'The lips do not move.' });
  });

  it('No take reaches a score without a sync network, a mouth that flaps with loudness least of all.', () => {
    for (const { findings } of controls.values()) expect(findings.syncScore).toBeUndefined();
    for (const { countsIn } of Object.values(lipParts)) expect(countsIn).toBe('none');
  });
});
