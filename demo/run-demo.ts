import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import type { ActivityDependencies } from '../activities/dependencies.ts';
import { healthOf, type OutboxHealth } from '../cli/outbox-health.ts';
import { uiLink } from '../client/ui-link.ts';
import { NO_DELIVERY } from '../config/delivery-config.ts';
import { installWorkerLog } from '../config/install-worker-log.ts';
import { startStack } from '../local/start-stack.ts';
import { installEngine } from '../target/install-engine.ts';
import { openSession } from '../target/open-session.ts';
import { startWorker } from '../worker.ts';
import { documentPoints } from './document-points.ts';
import { ofEmbeddedServers } from './embedded-environment.ts';
import { importDocuments } from './import-documents.ts';
import { type AttemptCount, readAttempts } from './read-attempts.ts';
import { type DemoRun, runOneMacro } from './run-one-macro.ts';

export const DEMO_TARGET = 'local';

export interface DemoOptions {
  /** Progress, a line at a time. */
  readonly say: (line: string) => void;
  /** Where the servers keep their data; `.sluice` in the working directory when absent. */
  readonly stateDir?: string;
  readonly signal?: AbortSignal;
}

/** What the demo shows; `--json` prints its runs and its health. */
export interface DemoResult {
  readonly runs: readonly DemoRun[];
  readonly health: OutboxHealth;
  readonly organicAttempts: readonly AttemptCount[];
  readonly uiUrl: string;
}

/**
 * The main job, on the embedded servers: installs IU Core, registers its route worker inert, and opens the
 * worker's gate in dry run, each as a macro that a second person approves openly; edits of this project's own
 * documents are the organic events. The servers it started are stopped at the end; their data stays.
 */
export async function runDemo({ say, stateDir = '.sluice', signal }: DemoOptions): Promise<DemoResult> {
  installWorkerLog('error');
  const scratch = await mkdtemp(join(tmpdir(), 'sluice-demo-'));
  const stack = await startStack({
    stateDir,
    env: ofEmbeddedServers(process.env, say),
    progress: say,
    ...(signal === undefined ? {} : { signal }),
  });
  say(
    `Temporal ${stack.temporal.version} (${stack.temporal.rung}) and PostgreSQL ${stack.postgres.version} (${stack.postgres.rung}) are up.`,
  );
  const endpoint = {
    connectionOptions: stack.temporal.connectionOptions,
    namespace: stack.temporal.namespace,
  };
  const { url } = stack.postgres;
  const openTarget: ActivityDependencies['openTarget'] = async (name) => ({
    name,
    url,
    schema: 'public',
    lockTimeoutMs: 3_000,
    statementTimeoutMs: { check: 30_000, change: 600_000, probe: 60_000 },
    backupDir: resolve(stateDir, 'backups'),
    restoreUrl: null,
    toolDirs: stack.postgres.pgDumpDir === null ? [] : [stack.postgres.pgDumpDir],
    delivery: NO_DELIVERY,
  });
  const sql = await openSession({ url, applicationName: 'sluice:demo' });
  const connection = await Connection.connect(stack.temporal.connectionOptions);
  const worker = await installEngine(sql).then(() => startWorker({ endpoint, openTarget }));
  try {
    const client = new Client({ connection, namespace: endpoint.namespace });
    const uiUrl = stack.temporal.uiUrl ?? '';
    const [earlier, later] = await documentPoints(fileURLToPath(new URL('..', import.meta.url)), scratch);
    const parts = {
      client,
      sql,
      say,
      target: DEMO_TARGET,
      reportDir: resolve(stateDir, 'reports'),
      link: (workflowId: string, runId: string) => uiLink(uiUrl, endpoint.namespace, workflowId, runId),
      ...(signal === undefined ? {} : { signal }),
    };
    const runs: DemoRun[] = [];
    runs.push(await runOneMacro(parts, 'iu-core-base'));
    await importDocuments(sql, earlier, say);
    runs.push(await runOneMacro(parts, 'event-worker'));
    runs.push(
      await runOneMacro(parts, 'worker-live-dry-run', { onObserve: () => importDocuments(sql, later, say) }),
    );
    return { runs, uiUrl, health: await healthOf(sql), organicAttempts: await readAttempts(sql) };
  } finally {
    await worker.stop();
    await connection.close();
    await sql.end();
    await stack.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}
