import { describe, expect, it } from 'vitest';
import { ProgressWriter, toProgressUpdate, type ProgressUpdate } from './progress-writer.ts';

/** A writer whose writes end with `gate`, and the progress of each update that it started to write. */
function makeWriter() {
  const written: number[] = [];
  const errors: unknown[] = [];
  const gate = Promise.withResolvers<void>();
  const writer = new ProgressWriter({
    intervalMs: 0,
    clock: { nowMs: () => 0 },
    write({ progress }: ProgressUpdate) {
      written.push(progress);
      return gate.promise;
    },
    onError: (error) => errors.push(error),
  });
  return { writer, written, errors, gate };
}

describe('ProgressWriter with a slow store', () => {
  it('Only the latest update waits for the current write.', async () => {
    const { writer, written, gate } = makeWriter();
    for (let percent = 0; percent <= 100; percent++)
      writer.report(toProgressUpdate({ stage: 'rendering', fraction: percent / 100 }));
    expect(written).toEqual([45]);
    gate.resolve();
    await new Promise(setImmediate);
    expect(written).toEqual([45, 90]);
  });

  it('settle waits for the current write and discards the waiting update.', async () => {
    const { writer, written, gate } = makeWriter();
    writer.report(toProgressUpdate({ stage: 'rendering', fraction: 0 }));
    writer.report(toProgressUpdate({ stage: 'rendering', fraction: 1 }));
    let settled = false;
    const settling = writer.settle().then(() => (settled = true));
    await new Promise(setImmediate);
    expect(settled).toBe(false);
    gate.resolve();
    await settling;
    expect(written).toEqual([45]);
  });

  it('A failed write does not stop later writes.', async () => {
    const { writer, written, errors, gate } = makeWriter();
    writer.report(toProgressUpdate({ stage: 'rendering', fraction: 0 }));
    writer.report(toProgressUpdate({ stage: 'rendering', fraction: 1 }));
    gate.reject(new Error('away'));
    await new Promise(setImmediate);
    expect([written, errors.length]).toEqual([[45, 90], 2]);
  });
});
