import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { ReplayFilter, ReplayPolicy } from '../contracts/replay.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { replayControlOf } from './dead-letter-control.ts';
import { seconds } from './dead-letter-list.ts';
import { filterOf, type PlanOptions, policyOf } from './dead-letter-options.ts';
import { iso, policyText } from './dead-letter-plan-text.ts';
import { withIuCore } from './iu-core.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions, GlobalOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { textTable } from './text-table.ts';

/** What a scheduled replay may replay by itself, as `fn_iu_replay_policy_set` answers it. */
interface SetPolicy {
  readonly policy: string;
  readonly isEnabled: boolean;
  readonly filter: ReplayFilter;
  readonly settings: ReplayPolicy;
  readonly minAgeSeconds: number;
  readonly maxLetters: number;
  readonly maxReplays: number;
  readonly description: string;
  readonly changedBy: string;
  readonly changeReason: string;
  readonly changedAt: string;
}

type SetOptions = ChangeOptions & PlanOptions & { readonly minAge: number; readonly description?: string };

/** What a policy allows where nobody says otherwise. */
const DEFAULTS = { maxLetters: 100, maxReplays: 3 } as const;

/** `sluice dead-letter policy list` */
export function deadLetterPolicyList(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const policies = await withIuCore(context, 'dead-letter policy list', ({ client, transact }) =>
      transact('read only', () => readPolicies(client)),
    );
    printResult(context.output, policies, () => policiesText(policies));
    return EXIT.done;
  });
}

/** `sluice dead-letter policy set CODE`: makes a policy or changes one; either way it is off until it is switched on. */
export function deadLetterPolicySet([code = '']: readonly string[], options: SetOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { maxLetters = DEFAULTS.maxLetters, maxReplays = DEFAULTS.maxReplays, ...rest } = options;
    const filter = filterOf([], rest);
    const policy = policyOf(options);
    const control = await replayControlOf(options, context.env);
    const isDry = options.dryRun === true;
    const values = [
      code,
      JSON.stringify(filter),
      JSON.stringify(policy),
      Math.ceil(options.minAge / 1_000),
      maxLetters,
      maxReplays,
      options.description ?? '',
      control.actor,
      control.reason,
    ];
    const set = await withIuCore(context, 'dead-letter policy set', ({ client, transact }) =>
      // A dry run lets the database judge it, and rolls back.
      transact('read write', async () => {
        if (isDry) await client.query('savepoint judged');
        const answer = await call(
          client,
          'fn_iu_replay_policy_set($1, $2, $3, $4, $5, $6, $7, $8, $9)',
          values,
        );
        if (isDry) await client.query('rollback to savepoint judged');
        return answer;
      }),
    );
    if (isDry) note('dry run: nothing was changed');
    const result = { dryRun: isDry, ...set };
    const next = `sluice dead-letter policy enable ${code} --target ${context.targetName()} --reason "…"`;
    printResult(context.output, result, () =>
      [policiesText([set]), isDry ? 'would be set' : `set, and off; next: ${next}`].join('\n'),
    );
    return EXIT.done;
  });
}

export const deadLetterPolicyEnable = switches(true);
export const deadLetterPolicyDisable = switches(false);

/** `sluice dead-letter policy enable|disable CODE` */
function switches(enabled: boolean): Handler<ChangeOptions> {
  return changesPolicy(
    enabled ? 'enable' : 'disable',
    (client, code, { actor, reason }) =>
      call(client, 'fn_iu_replay_policy_switch($1, $2, $3, $4)', [code, enabled, actor, reason]),
    enabled ? 'on: the schedule replays what it allows' : 'off',
  );
}

/** `sluice dead-letter policy remove CODE`; the plans that it made stay. */
export const deadLetterPolicyRemove = changesPolicy(
  'remove',
  (client, code, { actor, reason }) =>
    call(client, 'fn_iu_replay_policy_remove($1, $2, $3)', [code, actor, reason]),
  'removed; the plans that it made stay',
);

type Change = (
  client: pg.Client,
  code: string,
  control: { readonly actor: string; readonly reason: string },
) => Promise<SetPolicy>;

function changesPolicy(verb: string, change: Change, done: string): Handler<ChangeOptions> {
  return ([code = ''], options) =>
    withContext(options, async (context): Promise<ExitCode> => {
      const isDry = options.dryRun === true;
      if (verb !== 'disable' && !isDry)
        await confirm(`${verb} the policy ${code} on ${context.targetName()}?`, options);
      const control = await replayControlOf(options, context.env);
      const policy = await withIuCore(context, `dead-letter policy ${verb}`, ({ client, transact }) =>
        transact('read write', async () => {
          if (isDry) await client.query('savepoint judged');
          const answer = await change(client, code, control);
          if (isDry) await client.query('rollback to savepoint judged');
          return answer;
        }),
      );
      if (isDry) note('dry run: nothing was changed');
      printResult(context.output, { verb, dryRun: isDry, ...policy }, () =>
        isDry ? `policy ${code}: would ${verb} it` : `policy ${code} is ${done}`,
      );
      return EXIT.done;
    });
}

async function call(client: pg.Client, statement: string, values: readonly unknown[]): Promise<SetPolicy> {
  const { rows } = await client.query<{ answer: SetPolicy }>(`select ${statement} as answer`, [...values]);
  const [row] = rows;
  if (row === undefined) throw new Error(`${statement} returned no row`);
  return row.answer;
}

async function readPolicies(client: pg.Client): Promise<readonly SetPolicy[]> {
  const { rows } = await client.query<Omit<SetPolicy, 'changedAt'> & { readonly changedAt: Date }>(
    `select
       policy.policy_code as policy,
       policy.is_enabled as "isEnabled",
       policy.filter,
       policy.policy as settings,
       extract(epoch from policy.min_age)::integer as "minAgeSeconds",
       policy.max_letters as "maxLetters",
       policy.max_replays as "maxReplays",
       policy.description,
       policy.changed_by as "changedBy",
       policy.change_reason as "changeReason",
       policy.changed_at as "changedAt"
     from iu_replay_policy as policy
     order by policy.policy_code`,
  );
  return rows.map((row) => ({ ...row, changedAt: row.changedAt.toISOString() }));
}

function policiesText(policies: readonly SetPolicy[]): string {
  if (policies.length === 0) return 'no policies; `sluice dead-letter policy set` makes one';
  return textTable(
    ['policy', 'state', 'letters', 'older than', 'at most', 'replays', 'changed', 'how'],
    policies.map((policy) => [
      policy.description === '' ? policy.policy : `${policy.policy}: ${policy.description}`,
      policy.isEnabled ? 'on' : 'off',
      filterText(policy.filter),
      sayDuration(policy.minAgeSeconds * 1_000),
      policy.maxLetters,
      policy.maxReplays,
      `${seconds(iso(policy.changedAt))} by ${policy.changedBy}: ${policy.changeReason}`,
      policyText(policy.settings),
    ]),
  );
}

function filterText(filter: ReplayFilter): string {
  const parts = Object.entries(filter).map(([key, value]) => `${key} ${[value].flat().join(', ')}`);
  return parts.length === 0 ? 'all' : parts.join('; ');
}
