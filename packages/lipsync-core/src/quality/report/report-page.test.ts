import { describe, expect, it } from 'vitest';
import { qualityOf, testTrace as trace } from '../../testing/test-quality.ts';
import { ReportPage, type ReportedVideo } from './report-page.ts';

const label = {
  code: 'sound_late',
  message: 'The sound comes 200 ms after the lips.',
  ranges: [{ startMs: 0, endMs: 160 }],
  value: 200,
  threshold: 140,
  fatal: true,
};

function render(change: Partial<ReportedVideo> = {}): string {
  const page = new ReportPage();
  page.add({ name: 'take.mp4', durationMs: 160, quality: qualityOf(), trace, ...change });
  return page.render().join('');
}

describe('ReportPage', () => {
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

  it('It keeps the pictures that it shows of each video, and not those of the trace.', () => {
    const picture = { face: 'F'.repeat(110_000), mouth: 'M'.repeat(20_000), sourceMouth: 'S'.repeat(20_000) };
    const page = new ReportPage();
    const labels = Array.from({ length: 6 }, (_, index) => ({ ...label, code: `mouth_${index}` }));
    for (const name of ['first.mp4', 'second.mp4']) {
      const pictures = Array.from({ length: 120 }, (_, index) => ({ timeMs: index * 500, ...picture }));
      page.add({ name, durationMs: 60_000, quality: qualityOf({ labels }), trace: { ...trace, pictures } });
      pictures.length = 0;
    }
    const parts = page.render();
    expect(parts.filter((part) => part.includes('data:image/png'))).toHaveLength(2);
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(2_000_000);
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
