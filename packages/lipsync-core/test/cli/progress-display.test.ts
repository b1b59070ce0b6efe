import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { createProgressDisplay } from '../../src/cli/terminal.ts';

it('Without a terminal the progress display prints a line per stage and per 20 % of it, and never goes back.', async () => {
  const stream = new PassThrough();
  const display = createProgressDisplay(stream);
  for (const [stage, progress] of [
    ['tracking', 10],
    ['tracking', 20],
    ['tracking', 40],
    ['rendering', 45],
    ['rendering', 96],
    ['tracking', 20],
  ] as const) {
    display.show({ stage, progress, message: '' });
  }
  display.end();
  stream.end();
  expect(await text(stream)).toBe('10% tracking\n40% tracking\n45% rendering\n96% rendering\n96% tracking\n');
});

it('In a terminal the progress display draws a bar that never goes back, and leaves the cursor visible on a new line.', async () => {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
  const display = createProgressDisplay(stream);
  display.show({ stage: 'rendering', progress: 60, message: '' });
  display.show({ stage: 'tracking', progress: 20, message: '' });
  display.end();
  stream.end();
  const drawn = await text(stream);
  expect(drawn).toContain('60% · ');
  expect(drawn).not.toContain('20% · ');
  expect(drawn.endsWith('\n')).toBe(true);
});
