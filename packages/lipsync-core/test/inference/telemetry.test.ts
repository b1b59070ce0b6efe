import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';

const source = join(import.meta.dirname, '..', '..', 'src');

it('The ONNX runtime writes no telemetry files to the home folder.', async () => {
  const home = await mkdtemp(join(tmpdir(), 'lipsync-home-'));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const program = `
    import { loadSession } from ${JSON.stringify(join(source, 'inference', 'onnx-session.ts'))};
    import { voiceModelPath } from ${JSON.stringify(join(source, 'audio', 'index.ts'))};
    const session = await loadSession(voiceModelPath(), { threads: 1 });
    console.log(session.inputNames.join());
    await session.release();`;
  const environment = { ...process.env, HOME: home, TMPDIR: home };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    env: environment,
  });
  expect(stdout.trim()).toBe('input,state,sr');
  expect(await readdir(home)).toEqual([]);
});
