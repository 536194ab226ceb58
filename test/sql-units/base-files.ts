import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { parse } from 'yaml';
import type { CheckRow } from '../../contracts/verdict.ts';
import { inTransaction } from '../../target/in-transaction.ts';
import { runScript } from '../../target/run-script.ts';

export const MACRO = fileURLToPath(new URL('../../macros/iu-core-base/', import.meta.url));

export interface BaseStep {
  readonly id: string;
  readonly kind: string;
  readonly files?: readonly (string | { readonly do: string; readonly undo: string })[];
  readonly holds?: string;
}

/** The steps of the macro's own manifest, so that the tests run what it runs. */
export const STEPS: readonly BaseStep[] = parse(readFileSync(join(MACRO, 'macro.yaml'), 'utf8')).steps;

export interface BaseChange {
  readonly id: string;
  readonly do: string;
  readonly undo: string;
  readonly holds: string;
}

export const CHANGES: readonly BaseChange[] = STEPS.filter((step) => step.kind === 'migrate').map((step) => {
  const [file] = step.files ?? [];
  if (file === undefined || typeof file === 'string' || step.holds === undefined) throw new Error(step.id);
  return { id: step.id, ...file, holds: step.holds };
});

const LIMITS = { lockTimeoutMs: 5_000, statementTimeoutMs: 60_000 };

/** Runs a file of the macro in the way of the engine: one transaction, its schema first on the path. */
export async function change(client: pg.Client, path: string, schema = 'public'): Promise<void> {
  await inTransaction(client, 'read write', { schema, ...LIMITS }, () =>
    runScript(client, path, managedText(path)),
  );
}

export async function check(
  client: pg.Client,
  path: string,
  schema = 'public',
): Promise<readonly CheckRow[]> {
  const ran = await inTransaction(client, 'read only', { schema, ...LIMITS }, () =>
    runScript(client, path, managedText(path)),
  );
  return ran.checks;
}

/** Ids of the checks that did not pass, by their first word. */
export async function failing(client: pg.Client, path: string, schema = 'public'): Promise<string[]> {
  const rows = await check(client, path, schema);
  return rows.filter(({ verdict }) => verdict !== 'pass').map(({ checkId }) => checkId.split(' ')[0] ?? '');
}

export async function installBase(client: pg.Client, schema = 'public'): Promise<void> {
  for (const step of CHANGES) await change(client, step.do, schema);
}

/** For `createDatabase`: a database with the base installed. */
export const BASE_TEMPLATE = {
  name: 'iu_core_base',
  build: async (url: string): Promise<void> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await installBase(client);
    } finally {
      await client.end();
    }
  },
};

/** SQLSTATE that a promise is rejected with; fails the test when it is not. */
export async function sqlstateOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error && 'code' in error) {
      const cause = error.cause;
      return cause instanceof Error && 'code' in cause ? String(cause.code) : String(error.code);
    }
    throw error;
  }
  throw new Error('nothing was refused');
}

/** Text of a file that the manifest names. */
export function managedText(path: string): string {
  return readFileSync(join(MACRO, path), 'utf8');
}
