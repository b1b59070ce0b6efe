/** `node test-count.mjs REPORT`: prints the counts of a Vitest JSON report. Fails if a test or file failed, or if none ran. */
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

/** An interrupted run has no report and counts as failed. */
function countOrFail() {
  try {
    return countTests(process.argv[2] ?? '');
  } catch (error) {
    process.stderr.write(
      `The test report is missing or unreadable: ${error instanceof Error ? error.message : error}\n`,
    );
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const { passed, failed, skipped } = countOrFail();
process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
