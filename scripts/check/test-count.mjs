/** `node test-count.mjs REPORT`: says in one line how vitest's JSON report came out; fails when a test or file did, or none ran. */
import { readFileSync } from 'node:fs';

/**
 * @param {string} path
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
function countTests(path) {
  const report = JSON.parse(readFileSync(path, 'utf8'));
  const brokenFiles = report.testResults.filter(
    /** @param {{ status: string, assertionResults: unknown[] }} file */
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + brokenFiles.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** A run that was cut off leaves no report: that is a failure, not a run without tests. */
function countOrFailure() {
  try {
    return countTests(process.argv[2] ?? '');
  } catch (error) {
    process.stderr.write(`There is no report of the tests: ${error instanceof Error ? error.message : error}\n`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const { passed, failed, skipped } = countOrFailure();
process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
