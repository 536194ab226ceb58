import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { type ChaosLine, chaosLine } from './chaos-line.ts';
import type { SeededRandom } from './seeded-random.ts';

/**
 * A clock that can be set back without touching the machine's: the functions that stamp an event find another
 * `clock_timestamp()` first. Their bodies stay as they are. The offset is a sequence: it has no transaction, so a
 * step is seen at once, also in the middle of a transaction.
 */
const CLOCK_SQL = `
  create schema chaos_clock;
  create sequence chaos_clock.offset_ms minvalue -1000000000 start 0;
  create function chaos_clock.clock_timestamp()
    returns timestamptz
    language plpgsql
    volatile
    security definer
  as $$
  declare
    v_offset_ms bigint;
  begin
    select last_value into v_offset_ms from chaos_clock.offset_ms;
    return pg_catalog.clock_timestamp() + v_offset_ms * interval '1 millisecond';
  end
  $$;
  grant usage on schema chaos_clock to public;
  alter function fn_iu_outbox_stamp() set search_path = chaos_clock, pg_catalog, public, pg_temp;
  alter function fn_iu_uuid_v7() set search_path = chaos_clock, pg_catalog, public, pg_temp`;

/** Installs the clock and proves that it is the one that stamps events. */
export async function installMovedClock(client: pg.Client): Promise<void> {
  await client.query(CLOCK_SQL);
  await client.query('begin');
  const stamps: { id: string; at: Date }[] = [];
  for (const offset of [0, -3_600_000]) {
    await client.query(`select setval('chaos_clock.offset_ms', $1)`, [offset]);
    const { rows: emitted } = await client.query<{ id: string }>(
      `select fn_iu_emit_event('chaos', 'plain', 'the clock', null, '{}', 'chaos') as id`,
    );
    const { rows } = await client.query<{ id: string; at: Date }>(
      'select id, created_at as at from event_outbox where id = $1',
      [emitted[0]?.id],
    );
    stamps.push(...rows);
  }
  await client.query('rollback');
  await client.query(`select setval('chaos_clock.offset_ms', 0)`);
  const [before, after] = stamps;
  const stepBack = Number(before?.at) - Number(after?.at);
  if (!(stepBack > 3_500_000) || !((before?.id ?? '') > (after?.id ?? '')))
    throw new Error(`the clock was set back by an hour, and events only by ${stepBack} ms`);
}

/** Moves the clock, mostly back and forth by seconds, sometimes by hours, until it is told to stop. */
export async function moveClock(
  url: () => string,
  random: SeededRandom,
  isOver: () => boolean,
): Promise<{ setBack: number }> {
  let line: ChaosLine | undefined;
  let now = 0;
  let setBack = 0;
  while (!isOver()) {
    const next = random.chance(0.2) ? random.int(-14_400_000, 14_400_000) : now + random.int(-30_000, 30_000);
    try {
      line ??= await chaosLine(url, 'chaos clock');
      await line.query(`select setval('chaos_clock.offset_ms', $1)`, [next]);
      if (next < now) setBack += 1;
      now = next;
    } catch {
      line?.hangUp();
      line = undefined;
    }
    await delay(random.int(20, 200));
  }
  await line?.close();
  return { setBack };
}
