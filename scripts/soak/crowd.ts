import type { JobView } from '@lipsync/core/contract';
import { samplePaths, startScratchStack } from './scratch-stack.ts';

const jobCount = 20;
const timeLimitMs = 20 * 60_000;

/** Runs twenty jobs at once: all must complete, progress must never decrease, and no files may be left. */
export async function proveCrowd(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startScratchStack({}, signal);
  try {
    const startedMs = performance.now();
    const accepted = await Promise.all(Array.from({ length: jobCount }, () => stack.client.submit(samplePaths, {})));
    const acceptedMs = performance.now() - startedMs;
    const followed = await Promise.all(
      accepted.map(async ({ id }) => {
        const seen: JobView[] = [];
        const last = await stack.client.follow(id, (job) => seen.push(job));
        return {
          last,
          monotonic: seen.every((job, index) => job.progress >= (seen[index - 1]?.progress ?? 0)),
          states: seen.length,
        };
      }),
    );
    const completed = followed.filter(({ last }) => last.status === 'completed').length;
    const monotonic = followed.filter((job) => job.monotonic).length;
    const outputs = (await stack.outputs()).length;
    const leftovers = (await stack.leftovers()).length;
    console.log(
      '| jobs | completed | monotonic | states seen | outputs | leftovers | accepted in, s | done in, s |\n|---|---|---|---|---|---|---|---|',
    );
    const states = followed.reduce((sum, job) => sum + job.states, 0);
    const figures = [
      jobCount,
      completed,
      monotonic,
      states,
      outputs,
      leftovers,
      (acceptedMs / 1000).toFixed(1),
      ((performance.now() - startedMs) / 1000).toFixed(1),
    ];
    console.log(`| ${figures.join(' | ')} |`);
    return completed === jobCount && monotonic === jobCount && outputs === jobCount && leftovers === 0;
  } finally {
    await stack.stop();
  }
}
