import type pg from 'pg';
import { type QueuedPost, queuedPosts } from '../delivery/queued-posts.ts';
import type { Receiver } from '../delivery/receiver.ts';
import { runWorker } from '../drain/drain-contestant.ts';
import type { BenchServer } from '../drain/start-server.ts';
import { withClient } from '../drain/with-client.ts';
import { emit, makeLetters, mend } from './dead-letters.ts';
import { installReplay, ROUTES } from './install-replay.ts';

const INSTALLED = 'bench_installed';
const EVENTS_A_TRANSACTION = 100;
const ROUTED_AT_ONCE = 2_000;

/** Databases that contestants start from, and what pg-boss has in its jobs. All targets are mended. */
export interface Templates {
  /** With letters of the route to the function, and with as many new events of it. */
  readonly sqlLetters: string;
  readonly sqlEvents: string;
  /** With letters of the route to the endpoint, and with as many queued deliveries. */
  readonly httpLetters: string;
  readonly httpQueued: string;
  readonly requests: readonly object[];
  readonly posts: readonly QueuedPost[];
}

export async function prepareTemplates(
  server: BenchServer,
  receiver: Receiver,
  letters: number,
): Promise<Templates> {
  const { answering, refusing } = receiver.urls;
  await withClient(server.adminUrl, (client) => client.query(`create database ${INSTALLED}`));
  await withClient(server.urlOf(INSTALLED), (client) => installReplay(client, refusing));
  const copy = async <T>(name: string, build: (client: pg.Client, url: string) => Promise<T>) => {
    await withClient(server.adminUrl, (client) =>
      client.query(`create database ${name} template ${INSTALLED}`),
    );
    const url = server.urlOf(name);
    return await withClient(url, (client) => build(client, url));
  };
  const sqlLetters = 'bench_sql_letters';
  const requests = await copy(sqlLetters, async (client, url) => {
    await makeLetters(client, url, 'sql', letters, EVENTS_A_TRANSACTION);
    await mend(client, answering);
    return await requestsOf(client);
  });
  const sqlEvents = 'bench_sql_events';
  await copy(sqlEvents, async (client) => {
    await mend(client, answering);
    await emit(client, ROUTES.sql, 0, letters, EVENTS_A_TRANSACTION);
  });
  const httpLetters = 'bench_http_letters';
  await copy(httpLetters, async (client, url) => {
    await makeLetters(client, url, 'http', letters, EVENTS_A_TRANSACTION);
    await mend(client, answering);
  });
  const httpQueued = 'bench_http_queued';
  const posts = await copy(httpQueued, async (client) => {
    await mend(client, answering);
    await emit(client, ROUTES.http, 0, letters, EVENTS_A_TRANSACTION);
    await runWorker(client, ROUTED_AT_ONCE);
    return await queuedPosts(client, ROUTES.http);
  });
  if (requests.length !== letters || posts.length !== letters)
    throw new Error(`${requests.length} requests and ${posts.length} POSTs of ${letters} letters`);
  return { sqlLetters, sqlEvents, httpLetters, httpQueued, requests, posts };
}

/** What the function is given for each letter. */
async function requestsOf(client: pg.Client): Promise<object[]> {
  const { rows } = await client.query<{ request: object }>(
    `select fn_iu_delivery_request(
         route_code, target_kind, target_ref, id, event.event_domain, event.event_type, event_subject, subject_seq,
         event.created_at)
       || jsonb_build_object('safe_payload', payload) as request
     from event_outbox as event
     join iu_outbound_route on iu_outbound_route.event_type = event.event_type
     where route_code = $1
     order by event.created_at`,
    [ROUTES.sql],
  );
  return rows.map(({ request }) => request);
}
