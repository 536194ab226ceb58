import { type ErrorCodeName, SluiceError } from '../contracts/error-codes.ts';
import type { OpenedReplay, OpenReplayInput } from '../contracts/replay.ts';
import { SQLSTATES } from '../contracts/sqlstates.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { sqlstateOf } from '../target/sqlstate-of.ts';
import { askOtherRun } from './ask-other-run.ts';
import { currentExecution } from './current-execution.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { inReplay } from './in-replay.ts';

/** Runs of other plans that are gone and are closed before this one is opened, at most. */
const MOST_ABANDONED = 100;

/** Where Temporal has a run, as the functions of a replay tell it. */
interface ReplayRun {
  readonly workflowId: string;
  readonly runId: string;
  readonly temporalNamespace: string;
  readonly temporalAddress: string;
  readonly temporalClusterId: string;
}

/** The run that is in the way. */
interface OtherRun {
  readonly run: ReplayRun;
  readonly planHash: string;
}

/**
 * Opens a run of a plan; a repeated attempt of the same execution finds it open. Where another run is in the way, of the
 * same plan or of one that shares letters with it, Temporal is asked for its workflow: one that was terminated, or is gone
 * in another way, is closed, and what it left is replayed by this one.
 *
 * @throws SluiceError `replay_under_way` or `replay_overlaps` with the ids of the workflow in the way; `replay_not_found`,
 * `replay_stale`, `replay_ended`, `replay_not_approved`
 */
export function openReplay(dependencies: ActivityDependencies) {
  return ({ target, planHash, actor, reason }: OpenReplayInput): Promise<OpenedReplay> =>
    inReplay(dependencies, target, 'open-replay', async (ask) => {
      const { address, namespace, clusterId } = dependencies.temporal;
      const run: ReplayRun = {
        ...currentExecution(),
        temporalNamespace: namespace,
        temporalAddress: address,
        temporalClusterId: clusterId,
      };
      const values = [planHash, JSON.stringify(run), actor, reason];
      for (let abandoned = 0; ; abandoned += 1) {
        try {
          return await ask<OpenedReplay>('fn_iu_replay_open($1, $2, $3, $4)', values);
        } catch (error) {
          const other = otherRunOf(error);
          if (other === null || abandoned >= MOST_ABANDONED) throw error;
          const answer = await askOtherRun(dependencies, {
            workflow_id: other.run.workflowId,
            temporal_run_id: other.run.runId,
            temporal_namespace: other.run.temporalNamespace,
            temporal_address: other.run.temporalAddress,
            temporal_cluster_id: other.run.temporalClusterId,
          });
          if (answer !== 'gone') throw inTheWay(error, other, answer);
          await ask('fn_iu_replay_abandon($1, $2, $3)', [
            other.planHash,
            other.run.runId,
            'its workflow ended without closing it (terminated, or its history is gone)',
          ]);
        }
      }
    });
}

/** The run that a refusal names in its DETAIL; null for any other error. */
function otherRunOf(error: unknown): OtherRun | null {
  if (sqlstateOf(error) !== SQLSTATES.replayRefused) return null;
  const { detail } = error as { readonly detail?: string };
  const told = JSON.parse(detail ?? '{}') as {
    readonly code?: ErrorCodeName;
    readonly other?: ReplayRun;
    readonly otherPlanHash?: string;
  };
  if (told.code !== 'replay_under_way' && told.code !== 'replay_overlaps') return null;
  if (told.other === undefined || told.otherPlanHash === undefined) return null;
  return { run: told.other, planHash: told.otherPlanHash };
}

function inTheWay(error: unknown, { run, planHash }: OtherRun, answer: 'open' | 'unreachable'): SluiceError {
  const { code, text } = mapDatabaseError(error, 'Opening a replay');
  const where = `namespace ${run.temporalNamespace} of Temporal at ${run.temporalAddress}`;
  const what = `${text.what} Its run is ${run.runId} in ${where}`;
  const expected = text.expected;
  if (answer === 'open') return new SluiceError(code, { what: `${what}.`, expected, safe: text.safe });
  return new SluiceError(code, {
    what: `${what}, which is another one than this, and does not answer.`,
    expected,
    safe: `Nothing was changed. Start that server again. If it is gone for good, close its run first: select fn_iu_replay_abandon('${planHash}', '${run.runId}', 'its Temporal is gone').`,
  });
}
