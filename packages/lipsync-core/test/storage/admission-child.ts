import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { serveAdmissionJobs } from '../../src/testing/admission-jobs.ts';

const [path, ...work] = process.argv.slice(2);
const state = new SqliteStateStore({ path: path ?? '' });
await serveAdmissionJobs(state, work);
await state.close();
process.disconnect();
