import type { Node } from 'libpg-query';
import { insertedRows } from './find-assignments.ts';
import type { Finding } from './finding.ts';
import { findFunctionCalls, findNodes } from './walk-tree.ts';

/**
 * Where a setting that is kept as a row gets a value that counts: an inserted row, an update with the key in
 * its condition, or a call that is given the key and then the value.
 */
export function findGateWrites(tree: unknown, key: string, counts: (value: string) => boolean): Finding[] {
  if (!findNodes(tree, 'A_Const').some((node) => node.sval?.sval === key)) return [];
  const found: Finding[] = [];
  const look = (keyed: readonly unknown[], value: unknown) => {
    const named = findNodes(keyed, 'A_Const').find((node) => node.sval?.sval === key);
    if (named !== undefined && constants(value).some(counts)) found.push(named.location ?? null);
  };
  for (const { cols, selectStmt } of findNodes(tree, 'InsertStmt')) {
    const valueColumn = (cols ?? []).findIndex(
      (node) => 'ResTarget' in node && /value$/.test(node.ResTarget.name ?? ''),
    );
    for (const row of insertedRows(selectStmt))
      look(row, row[valueColumn === -1 ? behindKey(row, key) : valueColumn]);
  }
  for (const { targetList, whereClause } of findNodes(tree, 'UpdateStmt')) look([whereClause], targetList);
  for (const { args = [] } of findFunctionCalls(tree)) look(args, args[behindKey(args, key)]);
  return found;
}

function behindKey(values: readonly Node[], key: string): number {
  return values.findIndex((value) => constants([value]).includes(key)) + 1;
}

/** Constant texts under a value, with `true` and `false` spelled out. */
function constants(value: unknown): string[] {
  return findNodes([value], 'A_Const').flatMap(({ sval, boolval }) => {
    if (sval !== undefined) return [sval.sval ?? ''];
    return boolval === undefined ? [] : [String(boolval.boolval === true)];
  });
}
