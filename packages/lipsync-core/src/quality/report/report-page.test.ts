import { describe, expect, it } from 'vitest';
import { qualityOf, testTrace as trace } from '../../testing/test-quality.ts';
import { renderReport, type ReportedVideo } from './report-page.ts';

const label = {
  code: 'sound_late',
  message: 'The sound comes 200 ms after the lips.',
  ranges: [{ startMs: 0, endMs: 160 }],
  value: 200,
  threshold: 140,
  fatal: true,
};

function render(change: Partial<ReportedVideo> = {}): string {
  return renderReport([{ name: 'take.mp4', durationMs: 160, quality: qualityOf(), trace, ...change }]);
}

describe('renderReport', () => {
  it('The page states each defect with its time in words, in the order of the quality.', () => {
    const soft = { ...label, code: 'mouth_soft', message: 'The mouth is soft.', fatal: false };
    const page = render({ quality: qualityOf({ labels: [label, soft] }) });
    expect(page.indexOf('The sound comes 200 ms after the lips.')).toBeLessThan(page.indexOf('The mouth is soft.'));
    expect(page).toContain('whole video');
  });

  it('The page of a video without defects states that none was found, and why there is no grade.', () => {
    const reason = 'SYNCNET_MODEL_PATH is not set.';
    const parts = { lse_d: { value: null, unit: 'distance', score: null, reason } };
    expect(render({ quality: qualityOf({ parts }) })).toContain(
      'No defect was found. The lip-sync is not graded: SYNCNET_MODEL_PATH is not set.',
    );
  });

  it.each(['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "'&</title>"])(
    'The name %j is escaped wherever it stands.',
    (name) => {
      const page = render({ name });
      expect(page).not.toContain(name);
      expect(page).not.toMatch(/<script|onerror=alert\(1\)>/);
    },
  );

  it('Texts of labels and parts are escaped.', () => {
    const text = '<b>"loud"</b>';
    const parts = { noise: { value: null, unit: 'dB', score: null, reason: text } };
    const page = render({ quality: qualityOf({ parts, labels: [{ ...label, message: text }] }) });
    expect(page).not.toContain('<b>');
    expect(page.match(/&lt;b&gt;&quot;loud&quot;&lt;\/b&gt;/g)).toHaveLength(2);
  });

  it('The page loads nothing: its policy allows inline styles and pictures only.', () => {
    expect(render().replaceAll(/\s+/g, ' ')).toContain(
      `http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"`,
    );
    expect(render()).not.toMatch(/(src|href)="(?!data:)/);
  });

  it('A series of an hour becomes a page of less than 200 KB.', () => {
    const frames = 90_000;
    const long = {
      ...trace,
      lipOpening: Array.from({ length: frames }, (_, index) => (index % 7) / 50),
      speechLevelDb: Array.from({ length: frames }, () => -20),
      voiced: Array.from({ length: frames }, () => true),
    };
    expect(render({ durationMs: 3_600_000, trace: long }).length).toBeLessThan(200_000);
  });
});
