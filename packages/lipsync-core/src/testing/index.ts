export { artifactStoreSuite, type ArtifactStoreUnderTest } from './artifact-store-suite.ts';
export { openAdmission } from './open-admission.ts';
export { jobStoreSuite, testJobRecord, type JobStoreUnderTest } from './job-store-suite.ts';
