import { type KnownRun, listRuns } from '../client/find-run.ts';
import { uiLink } from '../client/ui-link.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { readEngineVersions } from '../target/install-engine.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import { type Context, withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { healthOf, type OutboxHealth } from './outbox-health.ts';
import { printResult } from './print.ts';
import type { FoundTemporal } from './temporal-access.ts';

interface TargetStatus {
  readonly target: string;
  /** Null where it answers. */
  readonly problem: string | null;
  readonly engine: { readonly installed: number; readonly shipped: number } | null;
  readonly openRun: LinkedRun | null;
  readonly lastRun: LinkedRun | null;
  /** Null where IU Core is not installed. */
  readonly outbox: Pick<OutboxHealth, 'healthy' | 'reasons' | 'gates' | 'backlog'> | null;
}

type LinkedRun = KnownRun & { readonly link: string | null };

/** `sluice status`: exit code 69 where Temporal or a target does not answer. */
export function status(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const server = await context.temporalServer().catch(problemOf);
    const connected =
      typeof server === 'string' ? server : await context.temporal().then(() => null, problemOf);
    const temporal = {
      address: typeof server === 'string' ? null : server.address,
      uiUrl: typeof server === 'string' ? null : server.uiUrl,
      problem: connected,
    };
    const found = typeof server === 'string' ? null : server;
    const names = options.target === undefined ? Object.keys(context.config.targets) : [context.targetName()];
    const targets = await Promise.all(names.map((name) => readTarget(context, name, found)));
    printResult(context.output, { temporal, targets }, () =>
      [
        `temporal ${temporal.address ?? ''} ${temporal.problem ?? 'answers'}${temporal.uiUrl === null ? '' : `  ${temporal.uiUrl}`}`,
        ...targets.map(targetText),
      ].join('\n'),
    );
    const isWhole = temporal.problem === null && targets.every(({ problem }) => problem === null);
    return isWhole ? EXIT.done : EXIT.unavailable;
  });
}

async function readTarget(
  context: Context,
  target: string,
  temporal: FoundTemporal | null,
): Promise<TargetStatus> {
  const nothing = { target, engine: null, openRun: null, lastRun: null, outbox: null };
  try {
    const { url, schema } = await context.target(target);
    return await withSession({ url, applicationName: 'sluice: status' }, async (client) => {
      const engine = await readEngineVersions(client);
      const runs = engine.installed === 0 ? [] : await listRuns(client, 20);
      const linked = (run: KnownRun | undefined) =>
        run === undefined ? null : { ...run, link: linkOf(temporal, run) };
      const limits = { schema, lockTimeoutMs: 1_000, statementTimeoutMs: 10_000 };
      const outbox = await inTransaction(client, 'read only', limits, () => healthOf(client)).catch(
        () => null,
      );
      return {
        target,
        problem: null,
        engine,
        openRun: linked(runs.find((run) => run.finishedAt === null)),
        lastRun: linked(runs.find((run) => run.finishedAt !== null)),
        outbox:
          outbox === null
            ? null
            : {
                healthy: outbox.healthy,
                reasons: outbox.reasons,
                gates: outbox.gates,
                backlog: outbox.backlog,
              },
      };
    });
  } catch (error) {
    return {
      ...nothing,
      problem: problemOf(error instanceof SluiceError ? error : mapDatabaseError(error, target)),
    };
  }
}

function linkOf(temporal: FoundTemporal | null, run: KnownRun): string | null {
  if (temporal === null || temporal.uiUrl === null) return null;
  return uiLink(temporal.uiUrl, temporal.endpoint.namespace, run.workflowId, run.temporalRunId);
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function targetText(status: TargetStatus): string {
  const { target, problem, engine, openRun, lastRun, outbox } = status;
  if (problem !== null || engine === null) return `target ${target}: ${problem}`;
  const schema =
    engine.installed === 0
      ? 'not prepared (sluice init)'
      : `engine schema ${engine.installed} of ${engine.shipped}`;
  const word = (isOpen: boolean) => (isOpen ? 'open' : 'closed');
  return [
    `target ${target}: ${schema}`,
    openRun === null ? '  no run is open' : `  open: ${runLine(openRun)}`,
    ...(lastRun === null ? [] : [`  last: ${runLine(lastRun)}`]),
    ...(outbox === null
      ? []
      : [
          `  outbox: master gate ${word(outbox.gates.master)}, worker gate ${word(outbox.gates.worker)}, backlog ${outbox.backlog}, ${outbox.healthy ? 'healthy' : outbox.reasons.join('; ')}`,
        ]),
  ].join('\n');
}

function runLine(run: LinkedRun): string {
  const outcome = run.outcome === null ? '' : `, ${run.outcome}`;
  return `run ${run.runNo} ${run.macro} by ${run.actor}${outcome}  ${run.link ?? run.workflowId}`;
}
