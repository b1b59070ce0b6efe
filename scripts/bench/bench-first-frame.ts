/**
 * `npm run bench -- first-frame [REV] [--pairs 3] [--seconds 600] [--engine preview|wav2lip]`: time until the first frame
 * is drawn, for a clip without a cached track; in turn with revision REV when it is named.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { z } from 'zod';
import { checkOut } from '../lib/check-out.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { writeModelOf } from '../lib/revision-model.ts';
import { median } from './comparison.ts';

const projectDir = join(import.meta.dirname, '..', '..');
const script = join('scripts', 'bench', 'measure-first-frame.ts');
const figuresSchema = z.object({ jobSeconds: z.number(), taskSeconds: z.number() });
type Figures = z.infer<typeof figuresSchema>;
const execute = promisify(execFile);

/** Prints one row per side. Deletes its checkout and inputs. */
export async function benchFirstFrame(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      pairs: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '600' },
      engine: { type: 'string', default: 'wav2lip' },
    },
  });
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-first-frame-'));
  const timeout = 10 * 60_000 + Number(values.seconds) * 1_000;
  try {
    const { clipPath, speechPath } = await lengthenSample(folder, Number(values.seconds), AbortSignal.timeout(timeout));
    const earlier = await prepareSide(positionals[0], folder);
    const sides = earlier === undefined ? [projectDir] : [earlier, projectDir];
    const modelPathOf = (side: string): string => join(folder, side === projectDir ? 'after.onnx' : 'before.onnx');
    if (values.engine === 'wav2lip')
      for (const side of sides) await writeModelOf({ revision: side, folder: side }, modelPathOf(side));
    const measured = new Map<string, Figures[]>();
    for (let pair = 0; pair < Number(values.pairs); pair += 1) {
      // The order changes with every pair, so that a machine that becomes slower does not favor one side.
      for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
        const command = [join(side, script), values.engine, clipPath, speechPath, modelPathOf(side)];
        const { stdout } = await execute(process.execPath, command, { cwd: side, timeout });
        measured.set(side, [...(measured.get(side) ?? []), figuresSchema.parse(JSON.parse(stdout))]);
      }
    }
    console.log(toMarkdown(values, measured, positionals[0]));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A checkout of the revision with its packages and the script. */
async function prepareSide(revision: string | undefined, folder: string): Promise<string | undefined> {
  if (revision === undefined) return undefined;
  const side = await checkOut(revision, join(folder, 'checkout'));
  await execute('npm', ['run', '--silent', 'lipsync', '--', '--version'], { cwd: side });
  await copyFile(join(projectDir, script), join(side, script));
  return side;
}

function toMarkdown(
  { engine, seconds }: { readonly engine: string; readonly seconds: string },
  measured: ReadonlyMap<string, readonly Figures[]>,
  revision: string | undefined,
): string {
  const rows = [...measured].map(([side, figures]) => {
    const list = (name: keyof Figures): string => {
      const values = figures.map((each) => each[name]);
      return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
    };
    return `| ${side === projectDir ? 'working tree' : revision} | ${list('taskSeconds')} | ${list('jobSeconds')} |`;
  });
  return [
    `\`${engine}\`, clip and speech of ${seconds} s, seconds until the first drawn frame, medians and spread:`,
    '',
    '| | from the start of rendering on | with probing and the analysis of the speech |',
    '|---|---|---|',
    ...rows,
  ].join('\n');
}
