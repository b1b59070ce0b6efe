import { systemClock, type JobRecord } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { WaitingWork } from '../src/index.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => bench.empty());

/** Each job takes as many seconds as its id ends with. */
const estimate = async (records: readonly JobRecord[]) => records.map(({ id }) => Number(id.split('_')[1]) * 1_000);

function open(): WaitingWork {
  return new WaitingWork({ ...bench, estimate, clock: systemClock, sampleSize: 20, cacheMs: 0 });
}

async function submit(ids: readonly string[], change: Partial<JobRecord> = {}): Promise<void> {
  // `as`: the change keeps the kind of the record.
  await Promise.all(
    ids.map((id) => bench.producer.submit({ ...testJobRecord(id, Date.now()), ...change } as JobRecord)),
  );
}

it('Waiting work is the sum of the estimates of the jobs that no worker has taken.', async () => {
  expect(await open().readSeconds()).toEqual({ render: 0, cloud: 0 });
  await submit(['job_3', 'job_4']);
  await submit(['job_10'], { needs: 'remote' });
  expect(await open().readSeconds()).toEqual({ render: 7, cloud: 10 });
});

it('A job that a worker has taken no longer waits.', async () => {
  await submit(['job_3']);
  const taken = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<void>();
  const worker = await bench.work(async () => {
    taken.resolve();
    await finished.promise;
  });
  await taken.promise;
  expect(await open().readSeconds()).toEqual({ render: 0, cloud: 0 });
  finished.resolve();
  await worker.close();
});

it('The work of a long queue is estimated from a sample over all priorities, within a tenth of the sum.', async () => {
  const lengths = Array.from({ length: 400 }, (_, index) => 1 + ((index * 37) % 97));
  await submit(lengths.map((seconds, index) => `job_${seconds}_${index}`));
  const sum = lengths.reduce((total, seconds) => total + seconds, 0);
  const { render } = await open().read();
  expect(render.jobs).toBe(400);
  expect(Math.abs(render.workMs / 1_000 - sum) / sum).toBeLessThan(0.1);
});

it('The work of a long queue whose jobs alternate is estimated from all of them.', async () => {
  for (let index = 0; index < 120; index += 1) await submit([`job_${index % 4 === 0 ? 97 : 1}_${index}`]);
  const work = new WaitingWork({ ...bench, estimate, clock: systemClock, sampleSize: 30 });
  const { render } = await work.readSeconds();
  expect(Math.abs(render / 3_000 - 1)).toBeLessThan(0.2);
});

it('The oldest job of a long queue is found behind jobs of higher priority.', async () => {
  await bench.producer.submit(testJobRecord('job_1_old', Date.now() - 60_000, { priority: 10 }));
  await submit(Array.from({ length: 60 }, (_, index) => `job_1_${index}`));
  const { render } = await open().read();
  expect(render.oldestAgeMs).toBeGreaterThanOrEqual(60_000);
  expect(render.oldestAgeMs).toBeLessThan(90_000);
});

it('Concurrent calls share one answer, and a failed one is not kept.', async () => {
  let isDown = true;
  let reads = 0;
  const work = new WaitingWork({
    ...bench,
    producer: {
      async sampleWaiting(lane, limit) {
        reads += 1;
        if (isDown) throw new Error('down');
        return bench.producer.sampleWaiting(lane, limit);
      },
    },
    estimate,
    clock: systemClock,
  });
  await expect(work.read()).rejects.toThrow('down');
  isDown = false;
  reads = 0;
  await Promise.all([work.read(), work.readSeconds(), work.read()]);
  expect(reads).toBe(4);
});
