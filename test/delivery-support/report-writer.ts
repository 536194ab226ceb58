import { createInterface } from 'node:readline';
import { reportTarget } from '../../delivery/report-target.ts';
import { aRequest, aTry } from './a-delivery.ts';

/** What the process is told, as the one argument. */
export interface ReportWriterTask {
  readonly dir: string;
  readonly name: string;
  /** Keys `0` to below this are delivered, in this order, `atOnce` at a time. */
  readonly keys: number;
  readonly atOnce: number;
  readonly payloadBytes: number;
  /** Before every second key, so that those are of this process alone; otherwise all keys are of everybody. */
  readonly own?: string;
}

/** Delivers to a report when a line comes in; prints `sent <key> <line>` or `failed <key> <code>` for each. */
const task: ReportWriterTask = JSON.parse(process.argv[2] ?? '');
const target = reportTarget({ dir: task.dir });
const config = { max_body_bytes: 16_777_216, timeout_ms: 60_000 };
let next = 0;

async function deliver(): Promise<void> {
  for (let number = next++; number < task.keys; number = next++) {
    const key = `${number % 2 === 1 ? (task.own ?? '') : ''}${number}`;
    const request = aRequest({
      targetRef: task.name,
      idempotencyKey: key,
      payload: { key, filling: String.fromCharCode(97 + (number % 26)).repeat(task.payloadBytes) },
    });
    const { status, detail, failure } = await target.deliver(request, aTry(config));
    process.stdout.write(`${status} ${key} ${failure?.code ?? String(detail.line)}\n`);
  }
}

process.stdout.write('ready\n');
for await (const _ of createInterface({ input: process.stdin })) {
  await Promise.all(Array.from({ length: task.atOnce }, deliver));
  break;
}
await target.close?.();
process.exit(0);
