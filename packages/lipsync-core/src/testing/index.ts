export { artifactStoreSuite, type ArtifactStoreUnderTest } from './artifact-store-suite.ts';
export { jobStoreSuite, testJobRecord, type JobStoreUnderTest } from './job-store-suite.ts';
