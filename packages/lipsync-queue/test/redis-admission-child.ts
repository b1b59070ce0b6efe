import { serveAdmissionJobs } from '@lipsync/core/testing';
import { createClientConnection, createRedisStateStore } from '../src/index.ts';

const [url, child] = process.argv.slice(2);
const connection = createClientConnection({ url: url ?? '', onError: () => undefined });
await serveAdmissionJobs(createRedisStateStore({ connection }), Number(child));
connection.disconnect();
process.disconnect();
