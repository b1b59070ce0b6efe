import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { estimateViewSchema } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import {
  simulateArrivals,
  simulateScaling,
  type Outcome,
  type Policy,
  type Signal,
  type Throughput,
} from './scaling-simulation.ts';
import { startScratchStack } from './scratch-stack.ts';

const timeLimitMs = 10 * 60_000;
const jobsPerDay = 10_000;
const seed = 14;
const measuredLengthsS = [1, 2, 4, 4] as const;

const targets: Readonly<Record<Signal, readonly number[]>> = {
  jobs: [1, 2, 5, 10, 20, 40],
  recent_seconds: [30, 60, 120, 300, 600, 1_200],
  known_seconds: [30, 60, 120, 300, 600, 1_200],
};
const names: Readonly<Record<Signal, string>> = {
  jobs: 'waiting jobs',
  recent_seconds: 'seconds of work, lengths unknown',
  known_seconds: 'seconds of work, lengths known',
};
const colors: Readonly<Record<Signal, string>> = {
  jobs: '#c0392b',
  recent_seconds: '#2980b9',
  known_seconds: '#27ae60',
};

interface Row extends Policy {
  readonly outcome: Outcome;
}

/**
 * Simulates a day of 10 000 jobs with bursts on 1 to 40 render workers, which are scaled by the seconds of waiting work
 * or by the number of waiting jobs. The service times are throughput estimates that this machine has just measured, or
 * `SCALING_THROUGHPUT` (seconds per job, seconds per second of output). Prints the wait and the worker hours of each
 * target and writes a plot to `SCALING_PLOT`. Holds if scaling by seconds of work is as good as each target of jobs.
 */
export async function proveScaling(): Promise<boolean> {
  const given = process.env['SCALING_THROUGHPUT']?.split(',').map(Number);
  const throughput = given ? { fixedS: given[0] ?? 0, perSecondS: given[1] ?? 0 } : await measureThroughput();
  const arrivals = simulateArrivals(jobsPerDay, throughput, seed);
  const workHours = arrivals.reduce((sum, { workS }) => sum + workS, 0) / 3_600;
  console.log(
    `${throughput.fixedS.toFixed(2)} s per job and ${throughput.perSecondS.toFixed(3)} s per second of output: ` +
      `${workHours.toFixed(0)} hours of work in ${jobsPerDay} jobs.\n`,
  );
  console.log('| scaled by | per worker | wait p50 | wait p95 | longest wait | worker hours | most workers |');
  console.log('|---|---|---|---|---|---|---|');
  const signals = ['jobs', 'recent_seconds', 'known_seconds'] as const;
  const rows = signals.flatMap((signal) =>
    targets[signal].map((target): Row => {
      const outcome = simulateScaling(arrivals, { signal, target });
      const { waitP50S, waitP95S, waitMaxS, workerHours, peakWorkers } = outcome;
      const cells = [names[signal], target, ...[waitP50S, waitP95S, waitMaxS].map((s) => `${s.toFixed(0)} s`)];
      console.log(`| ${[...cells, workerHours.toFixed(1), peakWorkers].join(' | ')} |`);
      return { signal, target, outcome };
    }),
  );
  const path = process.env['SCALING_PLOT'] ?? join(tmpdir(), 'lipsync-scaling.svg');
  await writeFile(path, plot(rows));
  console.log(`\nPlot: ${path}`);
  return signals.slice(1).every((signal) => isAsGood(rows, signal));
}

/**
 * Whether the signal has, for each target of the number of jobs, a target with at most 2 % more wait (95th percentile)
 * and at most 5 % more worker hours.
 */
function isAsGood(rows: readonly Row[], signal: Signal): boolean {
  const byJobs = rows.filter((row) => row.signal === 'jobs');
  const bySignal = rows.filter((row) => row.signal === signal);
  return byJobs.every(({ outcome: { waitP95S, workerHours } }) =>
    bySignal.some(({ outcome }) => outcome.waitP95S <= waitP95S * 1.02 && outcome.workerHours <= workerHours * 1.05),
  );
}

/** Renders short clips with `preview` on the real service, and reads what it then estimates. */
async function measureThroughput(): Promise<Throughput> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startScratchStack({ LIPSYNC_QUALITY: 'off' }, signal);
  try {
    for (const lengthS of measuredLengthsS) {
      const sample = await shortenSample(stack.rootDir, lengthS);
      const job = await stack.submit(sample, { method: 'preview' });
      const { status } = await stack.waitFor(job.id);
      if (status !== 'completed') throw new Error(`The job of ${lengthS} s is ${status}.`);
    }
    const read = async (seconds: number): Promise<number> => {
      const durationMs = seconds * 1_000;
      const response = await fetch(`${stack.url}/estimate`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ video_duration_ms: durationMs, audio_duration_ms: durationMs, method: 'preview' }),
        signal,
      });
      const [estimate] = estimateViewSchema.parse(await response.json()).providers;
      if (!estimate?.measured || estimate.expected_seconds === null) throw new Error('Nothing was measured.');
      return estimate.expected_seconds;
    };
    const [short, long] = [await read(10), await read(110)];
    const perSecondS = (long - short) / 100;
    return { fixedS: short - 10 * perSecondS, perSecondS };
  } finally {
    await stack.stop();
  }
}

/** Wait (logarithmic) over worker hours, one line per signal. */
function plot(rows: readonly Row[]): string {
  const [width, height, margin] = [760, 460, 60];
  const hours = rows.map(({ outcome }) => outcome.workerHours);
  const waits = rows.map(({ outcome }) => Math.log10(outcome.waitP95S));
  const scale = (values: readonly number[], from: number, to: number) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value: number) => from + ((value - low) / (high - low)) * (to - from);
  };
  const x = scale(hours, margin, width - margin);
  const y = scale(waits, height - margin, margin);
  const text = (atX: number, atY: number, content: string, attributes = '') =>
    `<text x="${atX.toFixed(0)}" y="${atY.toFixed(0)}" ${attributes}>${content}</text>`;
  const series = Object.entries(colors).flatMap(([signal, color], index) => {
    const points = rows.filter((row) => row.signal === signal);
    const at = ({ outcome }: Row) => [x(outcome.workerHours), y(Math.log10(outcome.waitP95S))] as const;
    const line = points
      .map((row) =>
        at(row)
          .map((value) => value.toFixed(1))
          .join(','),
      )
      .join(' ');
    return [
      `<polyline points="${line}" fill="none" stroke="${color}" stroke-width="2"/>`,
      ...points.flatMap((row) => {
        const [atX, atY] = at(row);
        const circle = `<circle cx="${atX.toFixed(1)}" cy="${atY.toFixed(1)}" r="4" fill="${color}"/>`;
        return [circle, text(atX + 6, atY - 6, String(row.target), `fill="${color}"`)];
      }),
      text(width - 290, margin + 18 * index, names[points[0]?.signal ?? 'jobs'], `fill="${color}"`),
    ];
  });
  const ticks = [...new Set(rows.map(({ outcome }) => Math.round(outcome.waitP95S / 500) * 500))].flatMap((wait) =>
    wait > 0 ? [text(8, y(Math.log10(wait)) + 4, `${wait} s`)] : [],
  );
  const hourTicks = [90, 120, 150, 180].map((hour) => text(x(hour), height - margin + 24, `${hour} h`));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
${text(margin, 28, 'Wait p95 over worker hours of a day; the numbers are the targets per worker', 'font-size="14"')}
${[...ticks, ...hourTicks, ...series].join('\n')}
</svg>
`;
}
