/** Kills itself between the record and the queue entry of a job, or before it has compared the second page of a sweep. */
import { silentLogger, systemClock } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '../src/index.ts';
import { sweepJobs } from '../src/job-sweep.ts';
import { QueueEntries } from '../src/queue-entries.ts';

const [url = '', step = ''] = process.argv.slice(2);
const connection = createClientConnection({ url, onError: () => undefined });
const [clock, logger] = [systemClock, silentLogger];
const die = () => process.kill(process.pid, 'SIGKILL');

class DyingStore extends RedisJobStore {
  #pages = 0;

  override async create(record: Parameters<RedisJobStore['create']>[0]): Promise<void> {
    await super.create(record);
    die();
  }

  override async listUnfinished(limit: number, position: string): ReturnType<RedisJobStore['listUnfinished']> {
    const page = await super.listUnfinished(limit, position);
    this.#pages += 1;
    if (this.#pages === 2) die();
    return page;
  }
}

const store = new DyingStore({ connection });
if (step === 'submit') {
  await new LipsyncProducer({ connection, store, clock, logger }).submit(testJobRecord('job_killed', Date.now()));
} else {
  const limits = { pageSize: 2, maxCompared: 100, maxChecked: 100 };
  const entries = new QueueEntries({ connection, logger });
  await sweepJobs({ connection, store, entries, clock, requeueAfterMs: 0, limits });
}
