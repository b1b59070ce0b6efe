import { batchItemId } from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { testJobRecord } from '@lipsync/core/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

async function submitBatch(owner: string, count: number): Promise<string> {
  const input = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
  const options = lipsyncOptionsSchema.parse({});
  const items = Array.from({ length: count }, (_, item) => ({
    options,
    video: input,
    audio: input,
    outputName: `${item}.mp4`,
  }));
  const sender = { owner, traceparent: null, requestId: null };
  return (await bench.batches.submit({ ...sender, items, options: { metadata: {} } })).record.id;
}

it('A batch of 500 delays a job of another key by the running job only, and two batches take turns.', async () => {
  const large = await submitBatch('alice', 500);
  const small = await submitBatch('carol', 3);
  const ran: string[] = [];
  let position = 0;
  await bench.work(async (id) => {
    ran.push(id);
    if (ran.length !== 10) return;
    await bench.producer.submit({ ...testJobRecord('job_bob'), owner: 'bob' }, 'cloud');
    position = ran.length;
  }, 'cloud');
  await expect.poll(() => ran.slice(0, 15), { timeout: 5_000 }).toContain('job_bob');
  expect(ran.indexOf('job_bob')).toBe(position);
  const turns = [0, 1, 2].flatMap((item) => [batchItemId(large, item), batchItemId(small, item)]);
  expect(ran.slice(0, 6)).toEqual(turns);
});
