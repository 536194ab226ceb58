import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { type DeliveryConfig, NO_DELIVERY } from '../../config/delivery-config.ts';
import { DELIVER_DEFAULTS } from '../../contracts/deliver.ts';
import { buildRegistry, closeRegistry } from '../../delivery/build-registry.ts';
import { type Pumped, type PumpOptions, pumpDeliveries } from '../../delivery/pump/pump-deliveries.ts';
import { readManifest } from '../../planning/read-manifest.ts';
import { inTransaction } from '../../target/in-transaction.ts';
import { runWorker } from '../drain/drain-contestant.ts';
import { installIuCore, LIMITS } from '../drain/install-iu-core.ts';
import { payloadBatches } from '../drain/payloads.ts';
import { ALLOWED, SIGNING_SECRET } from './signed-poster.ts';

/** `source` of the envelopes. */
export const SOURCE = 'https://iu.example';

const SEAM = join(import.meta.dirname, '../../macros/delivery-seam/macro.yaml');
const EVENTS_A_TRANSACTION = 100;
const ROUTED_AT_ONCE = 2_000;
const SECRET_NAME = 'bench';

/** Installs IU Core with the delivery seam, both gates open. */
export async function installDelivery(client: pg.Client): Promise<void> {
  await installIuCore(client);
  const { path, manifest } = await readManifest(SEAM);
  for (const step of manifest.steps) {
    if (step.kind !== 'migrate') continue;
    for (const file of step.files) {
      const text = await readFile(join(dirname(path), file.do), 'utf8');
      await inTransaction(client, 'read write', LIMITS, () => client.query(text));
    }
  }
  await client.query(
    `select fn_iu_retention_prepare();
     update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`,
  );
}

/** A live route to an endpoint, for the events whose type is its code. */
export async function addRoute(
  client: pg.Client,
  code: string,
  url: string,
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await client.query(
    `update dot_config
     set value = concat_ws(',', nullif(value, ''), $1::text)
     where key = 'iu_core.delivery_live_routes'`,
    [code],
  );
  await client.query(
    `insert into iu_outbound_route (
       route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run, config)
     values ($1, 'iu', $1, 'external_endpoint', $2, true, false, $3)`,
    [code, url, JSON.stringify({ allow_http: true, signing_secrets: [SECRET_NAME], ...config })],
  );
}

/** Emits events for a route as a producer does, 100 in a transaction, and routes them: they are queued now. */
export async function queueEvents(client: pg.Client, code: string, events: number): Promise<void> {
  // Only here: what was emitted is checkpointed before anything is measured.
  await client.query('set synchronous_commit = off');
  for (const batch of payloadBatches(events, EVENTS_A_TRANSACTION)) {
    await client.query({
      name: 'emit',
      text: `select fn_iu_emit_event('iu', $1, payload::jsonb ->> 'unit', gen_random_uuid(), payload::jsonb, 'bench')
             from unnest($2::text[]) as payload`,
      values: [code, batch],
    });
  }
  await runWorker(client, ROUTED_AT_ONCE);
  await client.query('reset synchronous_commit');
}

/** Delivers what is queued as the deliver activity does, until nothing is due or `forMs` is over. */
export async function deliver(
  url: string,
  concurrency: number,
  more: Partial<Pick<PumpOptions, 'forMs' | 'idleMs' | 'ending' | 'signal' | 'report' | 'sliceMs'>> = {},
): Promise<Pumped> {
  const config: DeliveryConfig = {
    ...NO_DELIVERY,
    concurrency,
    allowCidrs: ALLOWED,
    secrets: { [SECRET_NAME]: { kind: 'env', name: 'SIGNING_SECRET' } },
    externalEndpoint: { source: SOURCE },
  };
  const registry = buildRegistry(config, { temporal: null, env: { SIGNING_SECRET } });
  try {
    return await pumpDeliveries({
      session: { url, applicationName: 'sluice:deliver', ...LIMITS },
      registry,
      concurrency,
      leaseMs: config.leaseMs,
      worker: 'bench',
      idleMs: DELIVER_DEFAULTS.idleMs,
      forMs: 0,
      sliceMs: DELIVER_DEFAULTS.sliceMs,
      signal: new AbortController().signal,
      ...more,
    });
  } finally {
    await closeRegistry(registry);
  }
}
