import type { Node } from 'libpg-query';
import type { Finding } from './finding.ts';
import { findNodes } from './walk-tree.ts';

type Counts = (value: Node | undefined) => boolean;

/** Columns that get a value that counts: by UPDATE, ON CONFLICT DO UPDATE, MERGE, or as the column's default. */
export function findAssignments(tree: unknown, column: RegExp, counts: Counts): Finding[] {
  const lists = [
    ...findNodes(tree, 'UpdateStmt').map((node) => node.targetList),
    ...findNodes(tree, 'InsertStmt').map((node) => node.onConflictClause?.targetList),
    ...findNodes(tree, 'MergeWhenClause').map((node) =>
      node.commandType === 'CMD_UPDATE' ? node.targetList : [],
    ),
  ];
  const assigned = lists
    .flatMap((list) => list ?? [])
    .flatMap((node) => ('ResTarget' in node ? [node.ResTarget] : []))
    .filter(({ name = '', val }) => column.test(name) && counts(behindRow(val)))
    .map(({ location }) => location ?? null);
  const defaults = findNodes(tree, 'AlterTableCmd')
    .filter(
      ({ subtype, name = '', def }) => subtype === 'AT_ColumnDefault' && column.test(name) && counts(def),
    )
    .map(({ def }) => locationOf(def));
  return [...assigned, ...defaults];
}

/** Values of one column that count, in rows inserted into a table whose name matches. */
export function findInserted(tree: unknown, table: RegExp, column: string, counts: Counts): Finding[] {
  return findNodes(tree, 'InsertStmt').flatMap(({ relation, cols, selectStmt }) => {
    const at = (cols ?? []).findIndex((node) => 'ResTarget' in node && node.ResTarget.name === column);
    if (at === -1 || !table.test(relation?.relname ?? '')) return [];
    const values = insertedRows(selectStmt).map((row) => row[at]);
    return values.filter(counts).map(locationOf);
  });
}

/** The rows of INSERT … VALUES, or the one list of INSERT … SELECT. */
export function insertedRows(source: Node | undefined): Node[][] {
  if (source === undefined || !('SelectStmt' in source)) return [];
  const { valuesLists, targetList } = source.SelectStmt;
  const rows = (valuesLists ?? []).map((list) => ('List' in list ? (list.List.items ?? []) : []));
  const selected = (targetList ?? []).map((node) =>
    'ResTarget' in node && node.ResTarget.val ? node.ResTarget.val : node,
  );
  return selected.length === 0 ? rows : [...rows, selected];
}

/** False as a constant of any spelling, cast or not, and anything negated. */
export function isNotTrue(value: Node | undefined): boolean {
  if (value === undefined) return false;
  if ('TypeCast' in value) return isNotTrue(value.TypeCast.arg);
  if ('BoolExpr' in value) return value.BoolExpr.boolop === 'NOT_EXPR';
  if (!('A_Const' in value)) return false;
  const { boolval, sval } = value.A_Const;
  if (boolval !== undefined) return boolval.boolval !== true;
  return /^\s*(?:f|fa|fal|fals|false|n|no|of|off|0)\s*$/i.test(sval?.sval ?? '');
}

/** The value of one column in `(a, b) = (1, 2)`, or the value itself. */
function behindRow(value: Node | undefined): Node | undefined {
  if (value === undefined || !('MultiAssignRef' in value)) return value;
  const { source, colno = 1 } = value.MultiAssignRef;
  return source !== undefined && 'RowExpr' in source ? source.RowExpr.args?.[colno - 1] : source;
}

function locationOf(value: Node | undefined): Finding {
  return findNodes(value === undefined ? [] : [value], 'A_Const')[0]?.location ?? null;
}
