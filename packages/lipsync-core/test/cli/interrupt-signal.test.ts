import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

const source = join(import.meta.dirname, '..', '..', 'src', 'cli', 'terminal.ts');

it('The first interruption lets the program clean up; a second one of any kind ends it at once.', async () => {
  const program = `
    import { interruptSignal } from ${JSON.stringify(source)};
    interruptSignal().signal.addEventListener('abort', () => console.log('cleaning up'));
    setInterval(() => undefined, 1_000);
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines = child.stdout.setEncoding('utf8')[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('ready\n');
  child.kill('SIGINT');
  expect((await lines.next()).value).toBe('cleaning up\n');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([null, 'SIGTERM']);
});
