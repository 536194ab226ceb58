import { createInterface } from 'node:readline';
import { buildRegistry, closeRegistry } from '../../../delivery/build-registry.ts';
import { pumpDeliveries } from '../../../delivery/pump/pump-deliveries.ts';
import type { PumpTask } from './pump-process.ts';

/** The process behind `startPump`: delivers once it is told what; its signing secret is a variable. */
const abort = new AbortController();
process.once('SIGTERM', () => abort.abort());
const lines = createInterface({ input: process.stdin });
process.stdin.once('end', () => process.exit(1));
process.stdout.write('ready\n');
const [line] = await new Promise<[string]>((resolve) => lines.once('line', (text) => resolve([text])));
const { url, delivery, ...task }: PumpTask = JSON.parse(line);
const registry = buildRegistry(delivery, { temporal: null, env: process.env });
const rssBefore = process.memoryUsage.rss();
const counts = await pumpDeliveries({
  session: {
    url,
    applicationName: 'sluice:deliver',
    schema: 'public',
    lockTimeoutMs: 3_000,
    statementTimeoutMs: 30_000,
  },
  registry,
  concurrency: delivery.concurrency,
  leaseMs: delivery.leaseMs,
  idleMs: 50,
  sliceMs: 3_600_000,
  signal: abort.signal,
  ...task,
});
await closeRegistry(registry);
const rssGrownBy = process.resourceUsage().maxRSS * 1024 - rssBefore;
process.stdout.write(`${JSON.stringify({ counts, rssGrownBy })}\n`);
process.exit(0);
