import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { buildApp, functionRoute } from '../sql-delivery/support/app-function.ts';
import { LEVELS } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import { emit, runWorker } from '../sql-worker/support/worker.ts';
import { type CliProject, cliProject } from '../support/run-cli.ts';

const TEMPLATE = {
  name: 'cli_dead_letters',
  build: async (url: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      for (const path of LEVELS.replaying) await applyFile(client, path);
      await buildApp(client);
      await functionRoute(client, 'crm');
    } finally {
      await client.end();
    }
  },
};

/** A project whose target replays, with a live route `crm` to a function that does what the payload says. */
export interface DeadLetterProject extends CliProject {
  /** A connection of the superuser. */
  readonly sql: pg.Client;
  /** Runs `sluice dead-letter …` in it. */
  run(...args: string[]): ReturnType<CliProject['sluice']>;
  /** The same with `--json`, parsed. */
  answer<T>(...args: string[]): Promise<T>;
  /** Lets so many events become dead letters, and answers the ids of the letters. */
  die(letters: number, does?: string): Promise<readonly string[]>;
  /** From now on the function takes every event. */
  mend(): Promise<void>;
}

export async function deadLetterProject(
  options: { readonly worker?: boolean; readonly major?: 15 | 18 } = {},
): Promise<DeadLetterProject> {
  const project = await cliProject({ worker: false, ...options, template: TEMPLATE });
  const sql = await project.database.connect();
  return {
    ...project,
    sql,
    run: (...args) => project.sluice('dead-letter', ...args),
    answer: (...args) => project.json('dead-letter', ...args),
    async die(letters, does = 'raises') {
      const events: string[] = [];
      for (let n = 0; n < letters; n += 1) events.push(await emit(sql, { does, n }, 'told'));
      await runWorker(sql, Math.max(letters, 1));
      const { rows } = await sql.query<{ id: string }>(
        `select dead_letter_id as id from iu_route_dead_letter where event_id = any ($1) order by event_id`,
        [events],
      );
      if (rows.length !== letters) throw new Error(`${rows.length} letters of ${letters} events`);
      return rows.map(({ id }) => id);
    },
    async mend() {
      await sql.query(`
        create or replace function app.take(request jsonb)
          returns jsonb
          language plpgsql
          security definer
          set search_path = app, pg_temp
        as $$
        begin
          insert into app.effect (event_id, idempotency_key, request)
          values ((request ->> 'event_ref')::uuid, request ->> 'idempotency_key', request);
          return '{"status": "sent", "delivered": true}';
        end
        $$`);
    },
  };
}

/** Gives a project a second target. */
export async function addTarget(project: CliProject, name: string, urlVariable: string): Promise<void> {
  await writeFile(
    join(project.dir, 'sluice.yaml'),
    [
      'default_target: here',
      'targets:',
      '  here:',
      '    url: { env: TARGET_URL }',
      `  ${name}:`,
      `    url: { env: ${urlVariable} }`,
      '',
    ].join('\n'),
  );
}
