import { defineConfig } from 'vitest/config';

/** `.ci/run` names a file here and counts in it. */
const report = process.env.SLUICE_TEST_REPORT;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/no-leaked-database.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // Shared machines stall; on them a test fails that fails twice. A retried one is reported as such.
    retry: process.env.CI === undefined ? 0 : 1,
    testTimeout: 30_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
  },
});
