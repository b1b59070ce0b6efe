import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { promisify } from 'node:util';
import type { ChartTools } from './tools.ts';

const run = promisify(execFile);
const limitMs = 60_000;

/** Folder of the chart, relative to the project. */
export const chartFolder = join('deploy', 'chart');

/** Names of the sets of values in the folder `examples` of the chart. */
export async function listExamples(projectDir: string): Promise<string[]> {
  return (await readdir(join(projectDir, chartFolder, 'examples'))).map((file) => parse(file).name).toSorted();
}

export interface RenderOptions {
  readonly projectDir: string;
  readonly example: string;
  /** Further values, as `--set` takes them. */
  readonly set?: readonly string[];
}

/** The output of `helm template`; `helm lint --strict` must accept it, too. Throws what Helm reports. */
export async function renderChart(
  { helm }: ChartTools,
  { projectDir, example, set = [] }: RenderOptions,
): Promise<string> {
  const chart = join(projectDir, chartFolder);
  const values = ['--values', join(chart, 'examples', `${example}.yaml`), ...set.flatMap((pair) => ['--set', pair])];
  const options = { timeout: limitMs, maxBuffer: 16 * 1024 ** 2 };
  // Before lint, which shortens what it reports.
  const { stdout } = await run(helm, ['template', 'demo', chart, '--namespace', 'lipsync', ...values], options);
  await run(helm, ['lint', chart, '--strict', '--quiet', ...values], options);
  return stdout;
}
