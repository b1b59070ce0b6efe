import { jobStoreSuite } from './job-store-suite.ts';
import { createMemoryJobStore } from './memory-job-store.ts';

jobStoreSuite('memory', async () => ({ store: createMemoryJobStore(), dispose: async () => undefined }));
