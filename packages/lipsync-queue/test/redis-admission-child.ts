import { serveAdmissionJobs } from '@lipsync/core/testing';
import { createClientConnection, RedisStateStore } from '../src/index.ts';

const [url, ...work] = process.argv.slice(2);
const connection = createClientConnection({ url: url ?? '', onError: () => undefined });
await serveAdmissionJobs(new RedisStateStore({ connection }), work);
connection.disconnect();
process.disconnect();
