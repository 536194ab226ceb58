import { hostname } from 'node:os';
import type { TargetAccess } from '../activities/dependencies.ts';
import { DELIVER_DEFAULTS, type DeliverResult, NOTHING_DELIVERED } from '../contracts/deliver.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { buildRegistry, closeRegistry } from '../delivery/build-registry.ts';
import { pumpDeliveries } from '../delivery/pump/pump-deliveries.ts';
import { actorOf } from './actor.ts';
import { type Context, withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';

type DeliverOptions = ChangeOptions & {
  /** Milliseconds. */
  readonly for: number;
};

/** How often progress is said, in milliseconds. */
const SAY_EVERY_MS = 1_000;

/**
 * `sluice outbox deliver`: delivers what is due, from this process. Ctrl-C begins nothing further, settles what is in
 * flight and gives the rest back. A closed gate is no error: the status says so.
 */
export function outboxDeliver(_: readonly string[], options: DeliverOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const interrupted = untilInterrupted();
    try {
      const result = await withIuCore(context, 'deliver', async ({ client, target, transact }) => {
        const due = await transact('read only', async () => {
          const { rows } = await client.query<{ due: string }>(DUE);
          return Number(rows[0]?.due);
        });
        note(options.dryRun === true ? `dry run: ${due} deliveries are due` : `${due} deliveries are due`);
        if (options.dryRun === true) return NOTHING_DELIVERED;
        return deliverNow(context, target, options, interrupted.signal);
      });
      printResult(context.output, result, () => deliverText(result));
      return interrupted.signal.aborted ? EXIT.interrupted : EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}

const DUE = `
  select count(*) as due
  from iu_route_delivery
  where iu_route_delivery.due_at <= clock_timestamp()`;

async function deliverNow(
  context: Context,
  target: TargetAccess,
  options: DeliverOptions,
  signal: AbortSignal,
): Promise<DeliverResult> {
  const temporal = target.delivery.workflow === null ? null : (await context.temporal()).client;
  const registry = buildRegistry(target.delivery, { temporal, env: context.env });
  let saidAt = performance.now();
  try {
    const { isDone: _, ...result } = await pumpDeliveries({
      session: {
        url: target.url,
        applicationName: 'sluice: deliver',
        schema: target.schema,
        lockTimeoutMs: target.lockTimeoutMs,
        statementTimeoutMs: target.statementTimeoutMs.change,
      },
      registry,
      concurrency: target.delivery.concurrency,
      leaseMs: target.delivery.leaseMs,
      worker: `sluice outbox deliver of ${actorOf(options, context.env)}, ${process.pid}@${hostname()}`,
      forMs: options.for,
      idleMs: DELIVER_DEFAULTS.idleMs,
      sliceMs: Number.POSITIVE_INFINITY,
      signal,
      report(counts) {
        if (performance.now() - saidAt < SAY_EVERY_MS) return;
        saidAt = performance.now();
        note(`sent ${counts.sent}, failed ${counts.failed}, in flight ${counts.inFlight}`);
      },
    });
    return result;
  } finally {
    await closeRegistry(registry);
  }
}

function deliverText(result: DeliverResult): string {
  const { sent, skipped, retried, deadLettered, refused, seconds, perSecond, status } = result;
  const parts = [
    `${sent} sent`,
    ...(skipped === 0 ? [] : [`${skipped} skipped`]),
    `${retried} to be tried again`,
    `${deadLettered} dead-lettered`,
    ...(refused === 0 ? [] : [`${refused} not recorded`]),
  ];
  return `${status}: ${parts.join(', ')} in ${seconds} s, ${perSecond}/s`;
}
