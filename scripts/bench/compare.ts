/**
 * `npm run bench -- compare REV [--pairs 7] [--seconds 30] [--engine preview|wav2lip]`: runs the command line of two
 * revisions in turn on the same inputs and compares wall time, CPU time and peak memory of their process trees.
 * `npm run bench -- quality` does the same with `LIPSYNC_QUALITY` off and on.
 */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkOut, exitOf } from '../lib/check-out.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { writeModelOf } from '../lib/revision-model.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { watchMemory } from '../lib/watch-memory.ts';
import { compareFigures, comparisonToMarkdown, type Comparison, type RunFigures } from './comparison.ts';

const projectDir = join(import.meta.dirname, '..', '..');
/** Time limit of one run: ten minutes plus five times the length of the clip. */
const runLimitOf = (clipSeconds: number): number => 10 * 60_000 + clipSeconds * 5_000;
const engines = ['preview', 'wav2lip'] as const;
type Engine = (typeof engines)[number];

interface Side {
  readonly revision: string;
  readonly folder: string;
  /** Settings besides those of every run. */
  readonly settings?: Readonly<Record<string, string>>;
}

interface Inputs {
  readonly videoPath: string;
  readonly audioPath: string;
}

/** Compares the working tree with a revision. Prints one table per engine. Deletes its checkout and outputs. */
export async function compareRevisions(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: compareOptions });
  const [revision] = positionals;
  if (revision === undefined) throw new Error('Name the revision to compare with: npm run bench -- compare REV');
  await compareSides(values, async (folder) => ({
    before: { revision, folder: await checkOut(revision, join(folder, 'checkout')) },
    after: { revision: 'working tree', folder: projectDir },
  }));
}

/** Compares jobs without and with a measured quality. Prints one table per engine. */
export async function compareScoring(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: compareOptions });
  const side = (quality: string): Side => ({
    revision: `LIPSYNC_QUALITY=${quality}`,
    folder: projectDir,
    settings: { LIPSYNC_QUALITY: quality },
  });
  await compareSides(values, async () => ({ before: side('off'), after: side('on') }));
}

const compareOptions = {
  pairs: { type: 'string', default: '7' },
  seconds: { type: 'string', default: '30' },
  engine: { type: 'string' },
} as const;

async function compareSides(
  options: { readonly pairs: string; readonly seconds: string; readonly engine?: string | undefined },
  prepare: (folder: string) => Promise<{ readonly before: Side; readonly after: Side }>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-compare-'));
  try {
    const { before, after } = await prepare(folder);
    const runLimitMs = runLimitOf(Number(options.seconds));
    const signal = AbortSignal.timeout(runLimitMs);
    const { clipPath, speechPath } = await lengthenSample(folder, Number(options.seconds), signal);
    for (const engine of engines.filter((name) => options.engine === undefined || options.engine === name)) {
      const bench = new SideBench({
        engine,
        folder,
        inputs: { videoPath: clipPath, audioPath: speechPath },
        runLimitMs,
      });
      const comparison = await bench.compare(before, after, Number(options.pairs));
      console.log(`${comparisonToMarkdown(comparison)}\n`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs one engine of two sides in turn. */
class SideBench {
  readonly #engine: Engine;
  readonly #folder: string;
  readonly #inputs: Inputs;
  readonly #runLimitMs: number;

  constructor(options: {
    readonly engine: Engine;
    readonly folder: string;
    readonly inputs: Inputs;
    readonly runLimitMs: number;
  }) {
    this.#engine = options.engine;
    this.#folder = options.folder;
    this.#inputs = options.inputs;
    this.#runLimitMs = options.runLimitMs;
  }

  async compare(before: Side, after: Side, pairs: number): Promise<Comparison> {
    const warm = await shortenSample(this.#folder, 2);
    // Installs packages, compiles modules and prepares the model, none of which is measured.
    for (const side of [before, after]) {
      if (this.#engine === 'wav2lip') await writeModelOf(side, this.#modelPath(side));
      await this.#generate(side, warm, this.#warmDataFolder(side));
    }
    const figures: { before: RunFigures; after: RunFigures }[] = [];
    for (let pair = 0; pair < pairs; pair += 1) {
      // The order changes with every pair, so that a machine that becomes slower does not favor one side.
      const order = pair % 2 === 0 ? [before, after] : [after, before];
      const measured = new Map<Side, RunFigures>();
      for (const side of order) measured.set(side, await this.#measure(side));
      const [ofBefore, ofAfter] = [measured.get(before), measured.get(after)];
      if (ofBefore && ofAfter) figures.push({ before: ofBefore, after: ofAfter });
    }
    return compareFigures({ engine: this.#engine, sides: [before.revision, after.revision], figures });
  }

  /** One run with a prepared model and an empty face track cache. */
  async #measure(side: Side): Promise<RunFigures> {
    const dataFolder = join(this.#folder, 'data');
    await rm(dataFolder, { recursive: true, force: true });
    await cp(this.#warmDataFolder(side), dataFolder, { recursive: true });
    return this.#generate(side, this.#inputs, dataFolder);
  }

  #warmDataFolder(side: Side): string {
    return join(this.#folder, `${this.#engine}-${side.revision.replaceAll(/\W/g, '-')}-data`);
  }

  #modelPath(side: Side): string {
    return join(this.#folder, `${side.revision.replaceAll(/\W/g, '-')}.onnx`);
  }

  async #generate(side: Side, { videoPath, audioPath }: Inputs, dataFolder: string): Promise<RunFigures> {
    const outputPath = join(this.#folder, 'output.mp4');
    const command = ['npm', 'run', '--silent', 'lipsync', '--', 'generate', videoPath, audioPath];
    const options = ['-o', outputPath, '--overwrite', '--json', '--method', this.#engine];
    // bash reports the CPU time of all processes that it and its children waited for.
    const child = spawn(
      'bash',
      ['-c', 'TIMEFORMAT="%R %U %S"; { time "$@" >/dev/null 2>&3; } 3>/dev/null', 'bash', ...command, ...options],
      {
        cwd: side.folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: this.#runLimitMs,
        env: {
          ...process.env,
          LIPSYNC_DATA_DIR: dataFolder,
          LIPSYNC_GPU_ENABLED: 'false',
          HEYGEN_API_KEY: '',
          ...side.settings,
          WAV2LIP_MODEL_PATH: this.#engine === 'wav2lip' ? this.#modelPath(side) : '',
        },
      },
    );
    const memory = watchMemory(child.pid ?? 0);
    let report = '';
    child.stderr.on('data', (chunk: Buffer) => (report += chunk.toString()));
    try {
      await exitOf(child, `${this.#engine} at ${side.revision}`);
    } finally {
      memory.end();
    }
    const [wall = NaN, user = NaN, system = NaN] = report.trim().split(' ').map(Number);
    return { wallSeconds: wall, processorSeconds: user + system, peakMemoryMib: memory.peakMib() };
  }
}
