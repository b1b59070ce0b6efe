import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openOutputPipe, type OutputPipe, type OutputTarget } from '../../src/media/picture/output-pipe.ts';

const longTest = { timeout: 60_000 };
const bytes = 3_000_000;

let pipe: OutputPipe | undefined;
afterEach(() => pipe?.close());

/** Copies every part that arrives. */
function collect(parts: Uint8Array[], goesOn: boolean): OutputTarget {
  const memory = new Uint8Array(new SharedArrayBuffer(100_000));
  return {
    space: () => memory,
    fill(length) {
      parts.push(memory.slice(0, length));
      return goesOn;
    },
  };
}

/** A process that writes `bytes` bytes of ascending 32-bit numbers. */
function startCounting(output: OutputPipe): void {
  const program = `const numbers = Uint32Array.from({ length: ${bytes / 4} }, (_, index) => index); process.stdout.write(Buffer.from(numbers.buffer));`;
  spawn(process.execPath, ['-e', program], { stdio: ['ignore', output.writeEnd, 'ignore'] });
  output.writeEnd.destroy();
}

function isCount(parts: readonly Uint8Array[]): boolean {
  const all = Buffer.concat(parts);
  return new Uint32Array(all.buffer, all.byteOffset, all.length / 4).every((value, index) => value === index);
}

describe('Output pipe', () => {
  it('The output of a process arrives complete and in order, followed by its end.', longTest, async () => {
    const parts: Uint8Array[] = [];
    pipe = await openOutputPipe(collect(parts, true));
    const ended = Promise.withResolvers<void>();
    pipe.onEnd(ended.resolve);
    startCounting(pipe);
    await ended.promise;
    expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(bytes);
    expect(isCount(parts)).toBe(true);
  });

  it('A paused output pipe continues at the same byte after resume.', longTest, async () => {
    const parts: Uint8Array[] = [];
    pipe = await openOutputPipe(collect(parts, false));
    const ended = Promise.withResolvers<void>();
    let isOver = false;
    pipe.onEnd(() => {
      isOver = true;
      ended.resolve();
    });
    startCounting(pipe);
    await vi.waitFor(() => expect(parts).toHaveLength(1), { timeout: 30_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(parts).toHaveLength(1);
    const pump = setInterval(() => pipe?.resume(), 1);
    await ended.promise.finally(() => clearInterval(pump));
    expect(isOver).toBe(true);
    expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(bytes);
    expect(isCount(parts)).toBe(true);
  });

  it('Closing an output pipe ends the process, also while the pipe is paused.', longTest, async () => {
    pipe = await openOutputPipe(collect([], false));
    const ended = Promise.withResolvers<void>();
    pipe.onEnd(ended.resolve);
    startCounting(pipe);
    pipe.close();
    await expect(ended.promise).resolves.toBeUndefined();
  });

  it('An output pipe leaves nothing in the temporary folder.', longTest, async () => {
    const left = async (): Promise<string[]> =>
      (await readdir(tmpdir())).filter((name) => name.startsWith('lipsync-pipe-'));
    const before = await left();
    const pipes = await Promise.all(Array.from({ length: 10 }, () => openOutputPipe(collect([], true))));
    for (const { writeEnd, close } of pipes) {
      writeEnd.destroy();
      close();
    }
    expect((await left()).filter((name) => !before.includes(name))).toEqual([]);
  });
});
