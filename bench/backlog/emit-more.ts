import type pg from 'pg';
import { payloads } from '../drain/payloads.ts';

const EVENTS_A_TRANSACTION = 100;

/** Emits as producers do, 100 events in a transaction, without a client between them. Rounded up to whole transactions. */
export async function emitMore(client: pg.Client, events: number): Promise<void> {
  // Only for these: what is measured commits durably.
  await client.query('set synchronous_commit = off');
  await client.query(`
    do $$
    begin
      for v_transaction in 1..${Math.ceil(events / EVENTS_A_TRANSACTION)} loop
        perform fn_iu_emit_event(
          'iu', 'version_applied', 'guide/chapter-' || n, gen_random_uuid(), '${payloads(0, 1)[0]}', 'bench')
        from generate_series(1, ${EVENTS_A_TRANSACTION}) as n;
        commit;
      end loop;
    end
    $$`);
}
