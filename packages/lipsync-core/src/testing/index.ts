export { serveAdmissionJobs } from './admission-jobs.ts';
export { admissionSuite } from './admission-suite.ts';
export { artifactStoreSuite, type ArtifactStoreUnderTest } from './artifact-store-suite.ts';
export { concurrencySlotsSuite, type SlotsUnderTest } from './concurrency-slots-suite.ts';
export { openAdmission } from './open-admission.ts';
export { jobStoreSuite, testJobRecord, type JobStoreUnderTest } from './job-store-suite.ts';
export { serveStateTasks } from './state-child.ts';
export { stateProcessesSuite, stateRacesSuite } from './state-races-suite.ts';
export { stateStoreSuite } from './state-store-suite.ts';
