import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openOutputPipe, type OutputPipe } from '../../src/media/output-pipe.ts';

const longTest = { timeout: 60_000 };
const bytes = 3_000_000;

let pipe: OutputPipe | undefined;
afterEach(() => pipe?.close());

/** A process that writes a count, 32 bits a number, until so many bytes are written. */
function startCounting(output: OutputPipe): void {
  const program = `const numbers = Uint32Array.from({ length: ${bytes / 4} }, (_, index) => index); process.stdout.write(Buffer.from(numbers.buffer));`;
  spawn(process.execPath, ['-e', program], { stdio: ['ignore', output.theirs, 'ignore'] });
  output.theirs.destroy();
}

function isCount(parts: readonly Uint8Array[]): boolean {
  const all = Buffer.concat(parts);
  return new Uint32Array(all.buffer, all.byteOffset, all.length / 4).every((value, index) => value === index);
}

describe('the output of a process', () => {
  it('arrives whole and in order, and then ends', longTest, async () => {
    pipe = await openOutputPipe();
    const parts: Uint8Array[] = [];
    const ended = Promise.withResolvers<void>();
    pipe.onBytes((part) => {
      parts.push(part.slice());
      return true;
    });
    pipe.onEnd(ended.resolve);
    startCounting(pipe);
    await ended.promise;
    expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(bytes);
    expect(isCount(parts)).toBe(true);
  });

  it('waits when enough was read, and goes on where it stopped', longTest, async () => {
    pipe = await openOutputPipe();
    const parts: Uint8Array[] = [];
    const ended = Promise.withResolvers<void>();
    pipe.onBytes((part) => {
      parts.push(part.slice());
      return false;
    });
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

  it('ends when our end is closed, also while it waits', longTest, async () => {
    pipe = await openOutputPipe();
    const ended = Promise.withResolvers<void>();
    pipe.onBytes(() => false);
    pipe.onEnd(ended.resolve);
    startCounting(pipe);
    pipe.close();
    await expect(ended.promise).resolves.toBeUndefined();
  });

  it('leaves nothing in the folder for temporary files', longTest, async () => {
    const left = async (): Promise<string[]> =>
      (await readdir(tmpdir())).filter((name) => name.startsWith('lipsync-pipe-'));
    const before = await left();
    const pipes = await Promise.all(Array.from({ length: 10 }, () => openOutputPipe()));
    for (const { theirs, close } of pipes) {
      theirs.destroy();
      close();
    }
    expect((await left()).filter((name) => !before.includes(name))).toEqual([]);
  });
});
