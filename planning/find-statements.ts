import type { Node } from 'libpg-query';
import type { Finding } from './finding.ts';
import { findFunctionCalls, findNodes, type NodeTag } from './walk-tree.ts';

/** Statements of one kind. */
export function findStatements(tree: unknown, tag: NodeTag): Finding[] {
  return findNodes(tree, tag).map(() => null);
}

/** What takes rows with it: dropped tables (temporary ones apart), schemas and columns. */
export function findDataDrops(tree: unknown): Finding[] {
  const drops = findNodes(tree, 'DropStmt')
    .filter(({ removeType }) => removeType === 'OBJECT_TABLE' || removeType === 'OBJECT_SCHEMA')
    .filter(({ objects }) => !findNodes(objects, 'String').some((part) => part.sval === 'pg_temp'))
    .map(() => null);
  const columns = findNodes(tree, 'AlterTableCmd').filter(({ subtype }) => subtype === 'AT_DropColumn');
  return [...drops, ...columns.map(() => null)];
}

/** A condition that is missing, or is the constant `true`. */
export function isAlwaysTrue(condition: Node | undefined): boolean {
  return condition === undefined || ('A_Const' in condition && condition.A_Const.boolval?.boolval === true);
}

export function findExtensions(tree: unknown, names: readonly string[]): Finding[] {
  return findNodes(tree, 'CreateExtensionStmt')
    .filter(({ extname = '' }) => names.includes(extname))
    .map(() => null);
}

/** Calls of functions, by name and by schema (empty where none is written). */
export function findCalls(tree: unknown, counts: (name: string, schema: string) => boolean): Finding[] {
  return findFunctionCalls(tree)
    .filter(({ funcname }) => {
      const parts = findNodes(funcname, 'String').map((part) => part.sval ?? '');
      return counts(parts.at(-1) ?? '', parts.at(-2) ?? '');
    })
    .map(({ location }) => location ?? null);
}

/** COPY from or to a program of the server. */
export function findPrograms(tree: unknown, direction: 'from' | 'to'): Finding[] {
  return findNodes(tree, 'CopyStmt')
    .filter((copy) => copy.is_program === true && (copy.is_from === true) === (direction === 'from'))
    .map(() => null);
}
