import type pg from 'pg';
import { toSql } from 'pgvector/pg';
import type { DeliveryRequest } from '../delivery-request.ts';
import { jsonAround } from '../json-around.ts';
import type { TableName } from './table-name.ts';

/** What the table has of a subject, beside what an event brings. */
export type Standing = 'absent' | 'newer than held' | 'held' | 'older than held';

/** What is written beside the embedding. */
export interface EmbeddedText {
  readonly content: string;
  readonly embedding: readonly number[];
  readonly model: string;
}

/** One row for each subject, and one for each event that has none. */
export function subjectKey({ event, eventRef }: DeliveryRequest): string {
  const { domain, subject } = event;
  if (subject === null || subject === '') return `event:${eventRef}`;
  return `subject:${domain.replace(/[%/]/g, encodeURIComponent)}/${subject}`;
}

/** How an event stands to the row of its subject. */
export async function standing(
  client: pg.ClientBase,
  table: TableName,
  request: DeliveryRequest,
): Promise<Standing> {
  const { rows } = await client.query<{ standing: Standing }>(
    `select case
              when held.source_event = $2::uuid or held.idempotency_key = $5 then 'held'
              when case
                     when $3::numeric is not null and held.subject_seq is not null
                       then $3::numeric > held.subject_seq
                     else ($4::timestamptz, $2::uuid) > (held.event_at, held.source_event)
                   end then 'newer than held'
              else 'older than held'
            end as standing
       from ${table.sql} as held
      where held.subject_key = $1`,
    [subjectKey(request), ...place(request), request.idempotencyKey],
  );
  return rows[0]?.standing ?? 'absent';
}

/** Writes the row of a subject, unless the one that is there comes from a later event or from this one. */
export async function upsertVector(
  client: pg.ClientBase,
  table: TableName,
  request: DeliveryRequest,
  { content, embedding, model }: EmbeddedText,
): Promise<{ readonly written: boolean }> {
  const { domain, type, subject } = request.event;
  const about = { domain, type, subject, route: request.routeCode, model };
  const { rowCount } = await client.query(
    `insert into ${table.sql} as held
            (subject_key, source_event, subject_seq, event_at, idempotency_key, content, embedding, metadata)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (subject_key) do update
        set source_event = excluded.source_event,
            subject_seq = excluded.subject_seq,
            event_at = excluded.event_at,
            idempotency_key = excluded.idempotency_key,
            content = excluded.content,
            embedding = excluded.embedding,
            metadata = excluded.metadata
      where case
              when excluded.subject_seq is not null and held.subject_seq is not null
                then excluded.subject_seq > held.subject_seq
              else (excluded.event_at, excluded.source_event) > (held.event_at, held.source_event)
            end`,
    [
      subjectKey(request),
      ...place(request),
      request.idempotencyKey,
      content,
      toSql([...embedding]),
      jsonAround(about, 'payload', request.safePayload).toString('utf8'),
    ],
  );
  return { written: rowCount === 1 };
}

/** What orders the events of a subject. */
function place({ eventRef, event }: DeliveryRequest): [string, string | null, string] {
  return [eventRef, event.subjectSeq, event.createdAt];
}
