import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { execa } from 'execa';
import { awaitOutcome } from '../client/await-outcome.ts';
import { startMacro } from '../client/start-macro.ts';
import { NO_DELIVERY } from '../config/delivery-config.ts';
import type { Plan } from '../contracts/plan.ts';
import { startStack } from '../local/start-stack.ts';
import { canonicalJson } from '../planning/canonical-json.ts';
import { sha256Hex } from '../planning/sha256-hex.ts';
import { storePlan } from '../planning/store-plan.ts';
import { installEngine } from '../target/install-engine.ts';
import { withSession } from '../target/open-session.ts';
import { startWorker } from '../worker.ts';
import { type Benchmark, medians, round } from './benchmark.ts';

const STEPS = 10;
const TARGET = 'bench';

/**
 * A macro of ten trivial `migrate` steps against `psql` running the same files in one shell loop, on the
 * embedded servers with fsync on. Both start from stored texts or files; planning is not part of it.
 */
export async function run(rounds: number): Promise<Benchmark> {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const stack = await startStack({
    stateDir: join(dir, 'state'),
    progress: (line) => process.stderr.write(`${line}\n`),
  });
  const { url } = stack.postgres;
  try {
    await withSession({ url, applicationName: 'sluice:bench' }, (client) => installEngine(client));
    const endpoint = {
      connectionOptions: stack.temporal.connectionOptions,
      namespace: stack.temporal.namespace,
    };
    const worker = await startWorker({ endpoint, openTarget: async () => access(url, dir) });
    const connection = await Connection.connect(stack.temporal.connectionOptions);
    const client = new Client({ connection, namespace: stack.temporal.namespace });
    const measured: Record<string, number>[] = [];
    for (let one = 0; one <= rounds; one += 1) {
      const macroMs = await runMacro(client, url, one);
      const psqlMs = await runPsql(dir, url, one);
      // The first round warms both up.
      if (one === 0) continue;
      measured.push({
        macroMs: round(macroMs),
        psqlMs: round(psqlMs),
        macroMsPerStep: round(macroMs / STEPS),
        overheadMsPerStep: round((macroMs - psqlMs) / STEPS),
      });
    }
    await worker.stop();
    await connection.close();
    const ratios = measured.map((one) => ({ psql: (one.macroMs ?? 0) / (one.psqlMs ?? 1) }));
    return {
      name: 'macro',
      rounds: measured,
      median: medians(measured),
      ratios: medians(ratios),
      settings: {
        steps: STEPS,
        postgresql: stack.postgres.version,
        temporal: stack.temporal.version,
        fsync: 'on',
      },
    };
  } finally {
    await stack.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

const body = (way: string, one: number, step: number) =>
  `create table ${way}_${one}_${step} (id integer primary key);\n`;

async function runMacro(client: Client, url: string, one: number): Promise<number> {
  const texts = new Map<string, string>();
  const pin = (path: string, text: string) => {
    texts.set(sha256Hex(text), text);
    return { path, sha256: sha256Hex(text) };
  };
  const common = { title: 'a trivial step', onFail: 'rollback' } as const;
  const plan: Plan = {
    format: 1,
    macro: `bench-${one}`,
    title: 'Ten trivial steps',
    target: TARGET,
    schema: 'public',
    lifts: [],
    disable: [],
    next: null,
    steps: [
      {
        ...common,
        id: 'backup',
        kind: 'backup',
        mode: 'none',
        reason: 'a benchmark of the engine, not of pg_dump',
      },
      ...Array.from({ length: STEPS }, (_, step) => ({
        ...common,
        id: `step-${step}`,
        kind: 'migrate' as const,
        files: [
          {
            do: pin(`step-${step}.sql`, body('macro', one, step)),
            undo: pin(`undo-${step}.sql`, `drop table macro_${one}_${step};\n`),
          },
        ],
        holds: null,
        irreversibleReason: null,
      })),
    ],
  };
  const canonical = canonicalJson(plan);
  const planHash = sha256Hex(canonical);
  const built = { plan, planHash, canonical, scripts: texts, notes: [] };
  await withSession({ url, applicationName: 'sluice:bench' }, (session) =>
    storePlan(session, built, { actor: 'bench' }),
  );
  const startedAt = performance.now();
  const handle = await startMacro(
    { client, macro: plan.macro },
    { target: TARGET, planHash, actor: 'bench', reason: 'benchmark' },
  );
  const status = await awaitOutcome(handle);
  const took = performance.now() - startedAt;
  if (status.outcome !== 'succeeded') throw new Error(`the run ended as ${status.outcome}: ${status.cause}`);
  return took;
}

async function runPsql(dir: string, url: string, one: number): Promise<number> {
  const files = Array.from({ length: STEPS }, (_, step) => join(dir, `psql-${one}-${step}.sql`));
  for (const [step, file] of files.entries()) await writeFile(file, body('psql', one, step));
  const address = new URL(url);
  const env = {
    PGHOST: address.hostname,
    PGPORT: address.port,
    PGUSER: decodeURIComponent(address.username),
    PGPASSWORD: decodeURIComponent(address.password),
    PGDATABASE: decodeURIComponent(address.pathname.slice(1)),
  };
  const startedAt = performance.now();
  await execa(
    'sh',
    [
      '-c',
      'for file in "$@"; do psql -X -q -1 -v ON_ERROR_STOP=1 -f "$file" || exit 1; done',
      'sh',
      ...files,
    ],
    {
      env,
    },
  );
  return performance.now() - startedAt;
}

function access(url: string, dir: string) {
  return {
    name: TARGET,
    url,
    schema: 'public',
    lockTimeoutMs: 3_000,
    statementTimeoutMs: { check: 30_000, change: 60_000, probe: 30_000 },
    backupDir: dir,
    restoreUrl: null,
    toolDirs: [],
    delivery: NO_DELIVERY,
  };
}
