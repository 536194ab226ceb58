import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { type Context, withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';

/** Health of the outbox. Durations are seconds. */
export interface OutboxHealth {
  readonly healthy: boolean;
  readonly reasons: readonly string[];
  readonly gates: { readonly master: boolean; readonly worker: boolean; readonly delivery: boolean };
  readonly backlog: number;
  readonly oldestUnroutedSeconds: number;
  readonly highWaterMark: {
    readonly lagSeconds: number;
    readonly blocker: Readonly<Record<string, unknown>> | null;
  };
  readonly queuedDeliveries: number;
  readonly deadLettersOpen: number;
  /** The last run of any cursor; null where none has run. */
  readonly lastRun: { readonly cursor: string; readonly at: string; readonly summary: unknown } | null;
}

/** What `fn_iu_route_worker_health` answers, as far as it is read here. */
interface HealthRow {
  readonly healthy: boolean;
  readonly reasons: readonly string[];
  readonly master_gate_open: boolean;
  readonly worker_gate_open: boolean;
  readonly delivery_gate_open: boolean;
  readonly backlog: number;
  readonly oldest_unrouted_seconds: number;
  readonly high_water_mark: {
    readonly lag_seconds: number;
    readonly blocker: Readonly<Record<string, unknown>> | null;
  };
  readonly queued_deliveries: number;
  readonly dead_letter_open: number;
  readonly cursors: readonly {
    readonly cursor_code: string;
    readonly last_run_at: string | null;
    readonly last_run_summary: unknown;
  }[];
}

/** `sluice outbox health` */
export function outboxHealth(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const health = await readHealth(context);
    printResult(context.output, health, () => healthText(health));
    return EXIT.done;
  });
}

/** Reads the health of the target's outbox. @throws SluiceError `iu_core_missing` */
export function readHealth(context: Context): Promise<OutboxHealth> {
  return withIuCore(context, 'outbox health', ({ client, transact }) =>
    transact('read only', () => healthOf(client)),
  );
}

/** The same in a transaction that the caller opened in the schema of IU Core. */
export async function healthOf(client: pg.Client): Promise<OutboxHealth> {
  const found = await client.query<{ health: HealthRow }>('select fn_iu_route_worker_health() as health');
  const row = found.rows[0]?.health;
  if (row === undefined) throw new Error('fn_iu_route_worker_health returned no row');
  const last = [...row.cursors]
    .filter((cursor) => cursor.last_run_at !== null)
    .sort((a, b) => Date.parse(b.last_run_at ?? '') - Date.parse(a.last_run_at ?? ''))[0];
  return {
    healthy: row.healthy,
    reasons: row.reasons,
    gates: { master: row.master_gate_open, worker: row.worker_gate_open, delivery: row.delivery_gate_open },
    backlog: row.backlog,
    oldestUnroutedSeconds: row.oldest_unrouted_seconds,
    highWaterMark: { lagSeconds: row.high_water_mark.lag_seconds, blocker: row.high_water_mark.blocker },
    queuedDeliveries: row.queued_deliveries,
    deadLettersOpen: row.dead_letter_open,
    lastRun:
      last === undefined
        ? null
        : {
            cursor: last.cursor_code,
            at: new Date(last.last_run_at ?? 0).toISOString(),
            summary: last.last_run_summary,
          },
  };
}

export function healthText(health: OutboxHealth): string {
  const gate = (isOpen: boolean) => (isOpen ? 'open' : 'closed');
  const { blocker, lagSeconds } = health.highWaterMark;
  return [
    health.healthy ? 'healthy' : `not healthy: ${health.reasons.join('; ')}`,
    `gates            master ${gate(health.gates.master)}, worker ${gate(health.gates.worker)}, delivery ${gate(health.gates.delivery)}`,
    `backlog          ${health.backlog} events, the oldest ${health.oldestUnroutedSeconds} s old`,
    `high-water mark  ${lagSeconds} s behind${blocker === null ? '' : `, held back by ${JSON.stringify(blocker)}`}`,
    `deliveries       ${health.queuedDeliveries} queued`,
    `dead letters     ${health.deadLettersOpen} open`,
    `last run         ${health.lastRun === null ? 'none' : `${health.lastRun.at} (${health.lastRun.cursor}) ${JSON.stringify(health.lastRun.summary)}`}`,
  ].join('\n');
}
