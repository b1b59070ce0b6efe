import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { exitOf } from './check-out.ts';

/** A revision and the folder of its sources. */
export interface Revision {
  readonly revision: string;
  readonly folder: string;
}

/**
 * Writes the full-size seeded Wav2Lip model with the code of the revision that runs it, because models of other
 * versions may have other inputs. Installs the packages of the revision.
 */
export async function writeModelOf({ revision, folder }: Revision, path: string): Promise<void> {
  const install = spawn('npm', ['run', '--silent', 'lipsync', '--', '--help'], { cwd: folder, stdio: 'ignore' });
  await exitOf(install, `The command line at ${revision}`);
  const program = `
    const { writeSeededWav2Lip } = await import(process.argv[1]);
    await writeSeededWav2Lip(process.argv[2], { widthDivisor: 1, seed: 1, movingMouth: true });`;
  const module = join(folder, 'packages', 'lipsync-core', 'src', 'testing', 'wav2lip-models.ts');
  const words = ['--input-type=module', '--eval', program, module, path];
  await exitOf(spawn(process.execPath, words, { stdio: 'inherit' }), `Writing the model at ${revision}`);
}
