import { defineConfig } from 'vitest/config';

/** Makes a file of each format with ffmpeg; beside the others, because it takes minutes. */
const slowUnitTest = 'scripts/soak/files/files.test.ts';

/** One run for the whole workspace. All tests share the real ffmpeg and Redis, so there are few workers. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    // A poll ends as soon as it holds; the machine may be busy with something else.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{apps,packages}/*/src/**/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: [slowUnitTest],
          // These tests change nothing that others see, and loading the modules for each file takes most of their time.
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['{apps,packages}/*/test/**/*.test.ts', 'test/**/*.test.ts', slowUnitTest],
        },
      },
    ],
  },
});
