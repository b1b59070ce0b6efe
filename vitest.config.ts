import { defineConfig } from 'vitest/config';

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
          // These tests change nothing that others see, and loading the modules for each file takes most of their time.
          isolate: false,
        },
      },
      {
        extends: true,
        test: { name: 'integration', include: ['{apps,packages}/*/test/**/*.test.ts', 'test/**/*.test.ts'] },
      },
    ],
  },
});
