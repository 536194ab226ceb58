import { describe, expect, test } from 'vitest';
import { DeliveryNotImplemented } from '../delivery/delivery-not-implemented.ts';
import { checkDeliveryOutcome, type DeliveryOutcome, failed, sent } from '../delivery/delivery-outcome.ts';
import {
  deliveryRegistry,
  dispatchDelivery,
  resolveDeliveryTarget,
  seamIsFailClosed,
} from '../delivery/delivery-registry.ts';
import {
  checkDeliveryRequest,
  type DeliveryRequest,
  readDeliveryRequest,
} from '../delivery/delivery-request.ts';
import type { DeliveryTarget } from '../delivery/delivery-target.ts';
import {
  DELIVERY_TARGET_KINDS,
  type DeliveryTargetKind,
  isDeliveryTargetKind,
} from '../delivery/delivery-target-kind.ts';
import { rejection } from './fixtures/planning/rejection.ts';
import { installed } from './sql-worker/support/installed.ts';
import { ask } from './sql-worker/support/worker.ts';

const REQUEST: DeliveryRequest = {
  routeCode: 'partner',
  eventRef: '01890a5d-ac96-774b-bcce-b302099a8057',
  targetKind: 'report',
  targetRef: 'daily',
  idempotencyKey: '01890a5d-ac96-774b-bcce-b302099a8057:partner',
  safePayload: '{"n": 9007199254740993}',
  event: { domain: 'iu', type: 'tried', subject: null, subjectSeq: null, createdAt: '2026-01-01T00:00:00Z' },
};
const attempt = () => ({ signal: new AbortController().signal, config: {} });
const targetOf = (kind: DeliveryTargetKind, outcome: DeliveryOutcome): DeliveryTarget => ({
  kind,
  isBuilt: true,
  fault: () => null,
  deliver: async () => outcome,
});
/** The code of what a call throws. */
const refusal = (call: () => unknown) => rejection(Promise.resolve().then(call));

describe.each([15, 18] as const)('on PostgreSQL %i', (major) => {
  test('the kinds of targets are those that a route may have', async () => {
    const database = await installed(major, 'inert');
    const client = await database.connect();
    const check = await ask<string>(
      client,
      `select pg_get_constraintdef(oid) as answer
       from pg_constraint
       where conname = 'target_kind_is_known' and conrelid = 'iu_outbound_route'::regclass`,
    );
    const inSql = [...check.matchAll(/'(\w+)'::text/g)].map(([, kind]) => kind);
    expect(new Set(inSql)).toEqual(new Set(DELIVERY_TARGET_KINDS));
    expect(inSql).toHaveLength(DELIVERY_TARGET_KINDS.length);
    for (const kind of [...DELIVERY_TARGET_KINDS, 'carrier_pigeon']) {
      const taken = await client
        .query(
          `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref)
           values ($1, 'iu', 'tried', $2, 'x')`,
          [`of_${kind}`, kind],
        )
        .then(
          () => true,
          () => false,
        );
      expect({ kind, taken }).toEqual({ kind, taken: isDeliveryTargetKind(kind) });
    }
  });
});

describe('the registry', () => {
  test('has a target for every kind, each unbuilt, and is fail-closed', () => {
    const registry = deliveryRegistry();
    expect([...registry.keys()]).toEqual([...DELIVERY_TARGET_KINDS]);
    expect([...registry.values()].map(({ isBuilt }) => isBuilt)).toEqual(
      DELIVERY_TARGET_KINDS.map(() => false),
    );
    expect(seamIsFailClosed(registry)).toBe(true);
  });

  test('is no longer fail-closed once one kind is built, and the others stay unbuilt', async () => {
    const built = targetOf('report', sent('report'));
    const registry = deliveryRegistry([built]);
    expect(seamIsFailClosed(registry)).toBe(false);
    expect(resolveDeliveryTarget(registry, 'report')).toBe(built);
    for (const kind of DELIVERY_TARGET_KINDS.filter((one) => one !== 'report'))
      expect(resolveDeliveryTarget(registry, kind)).toMatchObject({ kind, isBuilt: false });
  });

  test.each(['carrier_pigeon', '', 'Report', 'constructor'])('knows no kind `%s`', async (kind) => {
    const error = await refusal(() => resolveDeliveryTarget(deliveryRegistry(), kind));
    expect(error.code).toBe('delivery_invalid');
    expect(error.text.expected).toContain(
      'sql_function, workflow, vector, report, directus_flow, external_endpoint',
    );
  });
});

describe('dispatch', () => {
  test.each(DELIVERY_TARGET_KINDS)('to an unbuilt %s is refused as not built', async (kind) => {
    const error = await rejection(
      dispatchDelivery(deliveryRegistry(), { ...REQUEST, targetKind: kind }, attempt()),
    );
    expect(error).toBeInstanceOf(DeliveryNotImplemented);
    expect(error.code).toBe('delivery_not_built');
    expect(error.text.what).toContain(kind);
    const target = resolveDeliveryTarget(deliveryRegistry(), kind);
    expect(await rejection(target.inspect?.('x', {}, attempt().signal) ?? Promise.resolve())).toBeInstanceOf(
      DeliveryNotImplemented,
    );
  });

  test('hands the request to the target of its kind, and its outcome back', async () => {
    const given: DeliveryRequest[] = [];
    const outcome = sent('report', { file: 'daily.jsonl' });
    const registry = deliveryRegistry([
      {
        ...targetOf('report', outcome),
        async deliver(request) {
          given.push(request);
          return outcome;
        },
      },
    ]);
    expect(await dispatchDelivery(registry, REQUEST, attempt())).toBe(outcome);
    expect(given).toEqual([REQUEST]);
  });

  test('of a bad request reaches no target', async () => {
    let reached = 0;
    const counting: DeliveryTarget = {
      ...targetOf('report', sent('report')),
      async deliver() {
        reached += 1;
        return sent('report');
      },
    };
    const registry = deliveryRegistry([counting]);
    const bad: [Partial<Record<keyof DeliveryRequest, string>>, RegExp][] = [
      [{ targetKind: 'carrier_pigeon' }, /Kind `carrier_pigeon` of a target is unknown/],
      [{ idempotencyKey: '' }, /an empty idempotencyKey/],
      [{ idempotencyKey: ' \n' }, /an empty idempotencyKey/],
      [{ targetRef: '' }, /an empty targetRef/],
      [{ routeCode: '' }, /an empty routeCode/],
      [{ eventRef: '' }, /an empty eventRef/],
    ];
    for (const [change, why] of bad) {
      const request = { ...REQUEST, ...change } as DeliveryRequest;
      const error = await rejection(dispatchDelivery(registry, request, attempt()));
      expect(error.code).toBe('delivery_invalid');
      expect(error.text.what).toMatch(why);
    }
    expect(reached).toBe(0);
    await dispatchDelivery(registry, REQUEST, attempt());
    expect(reached).toBe(1);
  });

  test.each([
    [
      'delivered without sent',
      { ...sent('report'), status: 'skipped' as const },
      /says delivered, and its status is skipped/,
    ],
    [
      'a failure that says delivered',
      { ...failedOutcome(), delivered: true },
      /says delivered, and its status is failed/,
    ],
    ['an unknown status', { ...sent('report'), status: 'done' as 'sent' }, /status `done` is unknown/],
    [
      'a failure without its reason',
      { ...sent('report'), delivered: false, status: 'failed' as const },
      /come together/,
    ],
    ['a reason without a failure', { ...failedOutcome(), status: 'sent' as const }, /come together/],
  ])('refuses an outcome with %s', async (_, outcome, why) => {
    const error = await rejection(
      dispatchDelivery(deliveryRegistry([targetOf('report', outcome)]), REQUEST, attempt()),
    );
    expect(error.code).toBe('delivery_invalid');
    expect(error.text.what).toMatch(why);
  });

  test.each([
    sent('report'),
    failedOutcome(),
    { ...sent('report'), delivered: false, status: 'skipped' as const },
  ])('takes the outcome %j', (outcome) => {
    expect(checkDeliveryOutcome(outcome)).toBe(outcome);
  });
});

describe('a frozen request', () => {
  const frozen = {
    route_code: REQUEST.routeCode,
    event_ref: REQUEST.eventRef,
    target_kind: REQUEST.targetKind,
    target_ref: REQUEST.targetRef,
    idempotency_key: REQUEST.idempotencyKey,
    event: {
      domain: 'iu',
      type: 'tried',
      subject: null,
      subject_seq: null,
      created_at: '2026-01-01T00:00:00Z',
    },
  };

  test('is read as it was frozen', () => {
    expect(readDeliveryRequest(frozen, REQUEST.safePayload)).toEqual(REQUEST);
    expect(
      readDeliveryRequest({ ...frozen, event: { ...frozen.event, subject: 'docs/a', subject_seq: 7 } }, '{}')
        .event,
    ).toMatchObject({ subject: 'docs/a', subjectSeq: '7' });
    expect(checkDeliveryRequest(REQUEST)).toBe(REQUEST);
  });

  test.each([
    null,
    'text',
    [],
    {},
    { ...frozen, target_kind: 'carrier_pigeon' },
    { ...frozen, idempotency_key: '' },
    { ...frozen, idempotency_key: 7 },
    { ...frozen, target_ref: undefined },
  ])('that is not whole is refused: %j', async (broken) => {
    expect((await refusal(() => readDeliveryRequest(broken, '{}'))).code).toBe('delivery_invalid');
  });
});

function failedOutcome(): DeliveryOutcome {
  return failed('report', { code: 'timeout', message: 'No answer.', mayRetry: true, retryAfterMs: null });
}
