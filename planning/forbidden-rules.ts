import type { ForbiddenAction } from '../contracts/forbidden-actions.ts';
import { findAssignments, findInserted, isNotTrue } from './find-assignments.ts';
import { findGateWrites } from './find-gate-writes.ts';
import { findSecrets } from './find-secrets.ts';
import {
  findCalls,
  findDataDrops,
  findExtensions,
  findPrograms,
  findStatements,
  isAlwaysTrue,
} from './find-statements.ts';
import type { Finding } from './finding.ts';
import { findNodes } from './walk-tree.ts';

export interface ForbiddenRule {
  readonly name: string;
  readonly action: ForbiddenAction;
  /** What the file would do, as the end of "this …". */
  readonly sentence: string;
  readonly find: (tree: unknown) => readonly Finding[];
}

const GATES = { delivery: 'iu_core.delivery_enabled', autocut: 'iu_core.autocut_enabled' };
const LIVE_ROUTES = 'iu_core.delivery_live_routes';
const DAEMONS = [
  'pg_cron',
  'pgagent',
  'pg_background',
  'pg_timetable',
  'pg_partman',
  'pg_squeeze',
  'timescaledb',
];
const SENDERS = ['dblink', 'http', 'pg_net', 'postgres_fdw'];
const SENDING_CALLS = /^(?:dblink(?:_\w+)?|http(?:_\w+)?)$/;
const CONTROL_CALLS = [
  'pg_reload_conf',
  'pg_terminate_backend',
  'pg_cancel_backend',
  'pg_promote',
  'pg_rotate_logfile',
];

/** What the forbidden-actions lint looks for. It is a net for mistakes, no fence against somebody who hides. */
export const FORBIDDEN_RULES: readonly ForbiddenRule[] = [
  {
    name: 'drops-data',
    action: 'destructive-clean-up',
    sentence: 'drops a table, a column, a schema, a database or what a role owns',
    find: (tree) => [
      ...findDataDrops(tree),
      ...findStatements(tree, 'DropdbStmt'),
      ...findStatements(tree, 'DropOwnedStmt'),
    ],
  },
  {
    name: 'truncates',
    action: 'destructive-clean-up',
    sentence: 'truncates a table',
    find: (tree) => findStatements(tree, 'TruncateStmt'),
  },
  {
    name: 'deletes-everything',
    action: 'destructive-clean-up',
    sentence: 'deletes without a condition',
    find: (tree) =>
      findNodes(tree, 'DeleteStmt')
        .filter(({ whereClause, usingClause }) => usingClause === undefined && isAlwaysTrue(whereClause))
        .map(({ relation }) => relation?.location ?? null),
  },
  {
    name: 'sets-dry-run-false',
    action: 'dry-run-false',
    sentence: 'sets dry_run to false',
    find: (tree) => [
      ...findAssignments(tree, /^dry_run$/, isNotTrue),
      ...findInserted(tree, /route$/, 'dry_run', isNotTrue),
    ],
  },
  {
    name: 'opens-delivery',
    action: 'downstream-delivery',
    sentence: 'opens the delivery gate or names live routes',
    find: (tree) => [
      ...findGateWrites(tree, GATES.delivery, (text) => text === 'true'),
      ...findGateWrites(tree, LIVE_ROUTES, (text) => text !== ''),
    ],
  },
  {
    name: 'sends-out',
    action: 'downstream-delivery',
    sentence: 'sends data out of the database',
    find: (tree) => [
      ...findExtensions(tree, SENDERS),
      ...findCalls(tree, (name) => SENDING_CALLS.test(name)),
      ...findPrograms(tree, 'to'),
    ],
  },
  {
    name: 'starts-a-daemon',
    action: 'daemon',
    sentence: 'starts something that keeps running by itself',
    find: (tree) => [
      ...findExtensions(tree, DAEMONS),
      ...findCalls(tree, (name, schema) => schema === 'cron' && name.startsWith('schedule')),
      ...findStatements(tree, 'CreateSubscriptionStmt'),
      ...findStatements(tree, 'LoadStmt'),
    ],
  },
  {
    name: 'controls-the-server',
    action: 'deploy-or-restart',
    sentence: 'changes how the server runs or ends sessions of others',
    find: (tree) => [
      ...findStatements(tree, 'AlterSystemStmt'),
      ...findCalls(tree, (name) => CONTROL_CALLS.includes(name)),
      ...findPrograms(tree, 'from'),
    ],
  },
  {
    name: 'shows-a-secret',
    action: 'secret-exposure',
    sentence: 'holds a password as plain text, which every plan and report would keep',
    find: findSecrets,
  },
  {
    name: 'changes-a-lifecycle',
    action: 'lifecycle-change',
    sentence: 'changes the lifecycle of existing information units, or deletes them',
    find: (tree) => [
      ...findNodes(tree, 'DeleteStmt')
        .filter(({ relation }) => relation?.relname === 'information_unit')
        .map(({ relation }) => relation?.location ?? null),
      ...findNodes(tree, 'UpdateStmt')
        .filter(({ relation }) => relation?.relname === 'information_unit')
        .flatMap((update) => findAssignments({ UpdateStmt: update }, /lifecycle|status/, () => true)),
    ],
  },
  {
    name: 'opens-auto-cut',
    action: 'production-cut',
    sentence: 'opens the auto-cut gate',
    find: (tree) => findGateWrites(tree, GATES.autocut, (text) => text === 'true'),
  },
];
