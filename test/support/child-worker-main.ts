import { DefaultLogger, Runtime } from '@temporalio/worker';
import { startWorker } from '../../worker.ts';
import type { ChildWorkerOptions } from './child-worker.ts';

/** The process behind `startChildWorker`: one worker, its settings as the only argument. */
Runtime.install({ logger: new DefaultLogger('ERROR') });
const given: Required<ChildWorkerOptions> & { bundlePath: string } = JSON.parse(process.argv[2] ?? '');
const worker = await startWorker({
  endpoint: { connectionOptions: { address: given.address }, namespace: given.namespace },
  taskQueue: given.taskQueue,
  bundlePath: given.bundlePath,
  openTarget: async () => given.access,
});
process.once('SIGTERM', () => void worker.stop());
process.stdin.resume().once('end', () => process.exit(1));
process.stdout.write('ready\n');
await worker.finished;
process.exit(0);
