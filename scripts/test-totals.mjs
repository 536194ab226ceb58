// Prints `N passed, N failed` from a vitest JSON report: test-totals.mjs REPORT EXIT_STATUS.
// A file that could not be loaded, and a run that failed without a failed test, count as one failure.
import { readFileSync } from 'node:fs';

const [report, exitStatus] = process.argv.slice(2);
let files = [];
try {
  files = JSON.parse(readFileSync(report, 'utf8')).testResults;
} catch {}
const tests = files.flatMap((file) => file.assertionResults);
const count = (status) => tests.filter((test) => test.status === status).length;
const notLoaded = files.filter(
  (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
).length;
const failed = count('failed') + notLoaded;
console.log(`${count('passed')} passed, ${failed === 0 && exitStatus !== '0' ? 1 : failed} failed`);
