import { uniform } from '@lipsync/core/testing';

/** A job that arrives at a lane with one job per worker at a time. */
export interface Arrival {
  readonly atS: number;
  readonly workS: number;
}

/** What an autoscaler reads from the waiting jobs. */
export type Signal = 'jobs' | 'recent_seconds' | 'known_seconds';

export interface Policy {
  readonly signal: Signal;
  /** Amount of the signal per worker. */
  readonly target: number;
}

export interface Outcome {
  readonly waitP50S: number;
  readonly waitP95S: number;
  readonly waitMaxS: number;
  readonly workerHours: number;
  readonly peakWorkers: number;
}

const dayS = 86_400;
/** Defaults of KEDA and the horizontal autoscaler: a reading every 30 s, removal after 5 minutes of less work. */
const pollS = 30;
const removalDelayS = 300;
/** Start time of a worker. */
const startS = 60;
const limits = { minimum: 1, maximum: 40 } as const;
/** Weight of the latest job in the moving average, as in the throughput estimates of the service. */
const newestShare = 0.2;

export interface Throughput {
  readonly fixedS: number;
  readonly perSecondS: number;
}

/**
 * A day of jobs: single ones with a daily rhythm, and bursts of equally long clips. The lengths of single ones are
 * log-normal with a median of 20 s, limited to 10 minutes. Deterministic.
 */
export function simulateArrivals(jobCount: number, throughput: Throughput, seed: number): readonly Arrival[] {
  const values = uniform(jobCount * 4 + 1_000, 0, 1, seed).values();
  const next = (): number => Math.max(1e-9, values.next().value ?? 0.5);
  const workOf = (lengthS: number): number => throughput.fixedS + throughput.perSecondS * lengthS;
  const arrivals: Arrival[] = [];
  // Half of the jobs come in bursts of 50 to 450 jobs with clips of 5 s, 20 s or 3 minutes.
  while (arrivals.length < jobCount / 2) {
    const startAtS = next() * dayS;
    const lengthS = [5, 20, 180][Math.floor(next() * 3)] ?? 20;
    const size = Math.min(50 + Math.floor(next() * 400), jobCount - arrivals.length);
    for (let index = 0; index < size; index += 1) {
      arrivals.push({ atS: Math.min(dayS - 1, startAtS + index * 0.2), workS: workOf(lengthS) });
    }
  }
  while (arrivals.length < jobCount) {
    const atS = next() * dayS;
    // More by day than by night.
    if (next() > 0.55 - 0.45 * Math.cos((2 * Math.PI * atS) / dayS)) continue;
    const normal = Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
    arrivals.push({ atS, workS: workOf(Math.min(600, 20 * Math.exp(normal))) });
  }
  return arrivals.toSorted((one, other) => one.atS - other.atS);
}

interface SimulatedWorker {
  /** When it can take the next job. */
  freeAtS: number;
  isLeaving: boolean;
}

/** Runs the day second by second. Jobs run in the order of arrival; a worker that is removed finishes its job. */
export function simulateScaling(arrivals: readonly Arrival[], { signal, target }: Policy): Outcome {
  const waiting: Arrival[] = [];
  const waits: number[] = [];
  const workerTargets: number[] = [];
  let workers: SimulatedWorker[] = [{ freeAtS: 0, isLeaving: false }];
  let [head, arrived, workerSeconds, peakWorkers, recentS] = [0, 0, 0, 1, 30];
  const read = (): number => {
    const jobs = waiting.length - head;
    if (signal === 'jobs') return jobs;
    if (signal === 'recent_seconds') return jobs * recentS;
    return waiting.slice(head).reduce((sum, { workS }) => sum + workS, 0);
  };
  for (let nowS = 0; nowS < dayS || head < waiting.length; nowS += 1) {
    for (let job = arrivals[arrived]; job && job.atS <= nowS; job = arrivals[arrived]) {
      waiting.push(job);
      arrived += 1;
    }
    if (nowS % pollS === 0) {
      const needed = Math.ceil(read() / target);
      workerTargets.push(Math.min(limits.maximum, Math.max(limits.minimum, needed)));
      scaleTo(Math.max(...workerTargets.slice(-removalDelayS / pollS)), workers, nowS);
    }
    for (const worker of workers) {
      const job = waiting[head];
      if (worker.isLeaving || worker.freeAtS > nowS || !job) continue;
      head += 1;
      waits.push(nowS - job.atS);
      worker.freeAtS = nowS + job.workS;
      recentS += newestShare * (job.workS - recentS);
    }
    workers = workers.filter(({ isLeaving, freeAtS }) => !isLeaving || freeAtS > nowS);
    workerSeconds += workers.length;
    peakWorkers = Math.max(peakWorkers, workers.length);
  }
  const sorted = waits.toSorted((one, other) => one - other);
  const quantile = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  return {
    waitP50S: quantile(0.5),
    waitP95S: quantile(0.95),
    waitMaxS: quantile(1),
    workerHours: workerSeconds / 3_600,
    peakWorkers,
  };
}

/** Removes idle workers first, then those that are free soonest. */
function scaleTo(count: number, workers: SimulatedWorker[], nowS: number): void {
  const staying = workers.filter(({ isLeaving }) => !isLeaving);
  for (let missing = count - staying.length; missing > 0; missing -= 1) {
    workers.push({ freeAtS: nowS + startS, isLeaving: false });
  }
  const surplus = staying.length - count;
  if (surplus <= 0) return;
  const leaving = staying.toSorted((one, other) => one.freeAtS - other.freeAtS).slice(0, surplus);
  for (const worker of leaving) worker.isLeaving = true;
}
