import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { serveAdmissionJobs } from '../../src/testing/admission-jobs.ts';

const [path, child] = process.argv.slice(2);
const state = new SqliteStateStore({ path: path ?? '' });
await serveAdmissionJobs(state, Number(child));
await state.close();
process.disconnect();
