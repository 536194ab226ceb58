import type pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { attempts, queueEvents } from '../delivery-activity/support/deliveries.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { type Fate, startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { deliveryFailures, deliveryVerdict } from './support/delivery-verdict.ts';
import { deliverNow, openDatabase, queued, signedRoute } from './support/faulty.ts';
import { type Ledger, startLedger } from './support/ledger.ts';

vi.setConfig({ testTimeout: 120_000 });

const EVENTS = 600;

let database: TestDatabase;
let sql: pg.Client;
let ledger: Ledger;
let proxy: TcpProxy;
beforeEach(async () => {
  [{ database, sql }, ledger] = await Promise.all([openDatabase(), startLedger()]);
  proxy = await startTcpProxy(database.url);
  await signedRoute(sql, 'out', ledger);
  await queueEvents(sql, 'out', EVENTS);
});
afterEach(async () => {
  await proxy.close();
  await ledger.close();
  await database.drop();
});

/** Has the next calls of a function meet these fates, each on its way to the server. */
function meet(call: string, fates: Fate[]): { readonly met: Fate[] } {
  const met: Fate[] = [];
  proxy.onRequest = (data) => {
    const fate = data.includes(call) ? (fates.shift() ?? 'pass') : 'pass';
    if (fate !== 'pass') met.push(fate);
    return fate;
  };
  return { met };
}

test.each<{ readonly name: string; readonly fates: readonly Fate[] }>([
  {
    name: 'before it reaches the server: nothing of it is recorded, and it is repeated',
    fates: ['cut', 'cut'],
  },
  {
    name: 'before its answer comes back: it is recorded, and the repetition is refused',
    fates: ['deliver and cut', 'deliver and cut'],
  },
  { name: 'in both ways in turn', fates: ['cut', 'deliver and cut', 'cut', 'deliver and cut'] },
])('the settling is cut $name', async ({ fates }) => {
  const { met } = meet('fn_iu_route_delivery_settle', [...fates]);
  const { sent, failed, refused } = await deliverNow(proxy.url(database.url));
  expect(met).toEqual(fates);
  expect({ failed, told: sent + refused }).toEqual({ failed: 0, told: EVENTS });
  expect(refused > 0).toBe(fates.includes('deliver and cut'));
  expect(ledger.entries).toHaveLength(EVENTS);
  expect(await attempts(sql, 'out')).toEqual({ sent: EVENTS });
  const verdict = await deliveryVerdict(sql, [ledger]);
  expect(deliveryFailures(verdict)).toEqual([]);
  expect(verdict).toMatchObject({ sent: EVENTS, unrecorded: 0 });
});

test('the claim is cut in both ways: what it took without knowing is given back and delivered', async () => {
  const fates: Fate[] = ['deliver and cut', 'cut', 'deliver and cut'];
  const { met } = meet('fn_iu_route_delivery_claim', [...fates]);
  const { sent, failed, refused } = await deliverNow(proxy.url(database.url), { forMs: 3_000 });
  expect(met).toEqual(fates);
  expect({ sent, failed, refused }).toEqual({ sent: EVENTS, failed: 0, refused: 0 });
  expect(await queued(sql, 'out')).toBe(0);
  expect(ledger.entries).toHaveLength(EVENTS);
  expect(deliveryFailures(await deliveryVerdict(sql, [ledger]))).toEqual([]);
});
