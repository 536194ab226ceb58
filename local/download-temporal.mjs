// Lets the SDK download its Temporal CLI into a directory: download-temporal.mjs DIRECTORY VERSION.
// A program of its own, because a download inside the SDK can be ended only together with its process.
import { TestWorkflowEnvironment } from '@temporalio/testing';

const [downloadDir, version] = process.argv.slice(2);
const environment = await TestWorkflowEnvironment.createLocal({
  server: { executable: { type: 'cached-download', downloadDir, version: `v${version}` } },
});
await environment.teardown();
process.exit(0);
