import type { SourcePosition } from '../config/source-position.ts';
import type { SqlFragment } from './sql-fragment.ts';
import { findNodes, type NodeTag } from './walk-tree.ts';

/** A statement that PostgreSQL refuses inside a transaction. */
export interface OutsideTransaction {
  /** As people call it, such as `CREATE INDEX CONCURRENTLY`. */
  readonly name: string;
  readonly position: SourcePosition;
}

/** The statements of a file that cannot run in a transaction, as PostgreSQL 15 to 18 know them. */
export function outsideTransaction(fragment: SqlFragment): OutsideTransaction[] {
  const { tree } = fragment;
  const has = (tag: NodeTag) => findNodes(tree, tag).length > 0;
  const option = (name: string) => findNodes(tree, 'DefElem').some((element) => element.defname === name);
  const names = [
    findNodes(tree, 'IndexStmt').some((node) => node.concurrent) && 'CREATE INDEX CONCURRENTLY',
    findNodes(tree, 'DropStmt').some((node) => node.concurrent) && 'DROP INDEX CONCURRENTLY',
    has('ReindexStmt') && option('concurrently') && 'REINDEX CONCURRENTLY',
    findNodes(tree, 'ReindexStmt').some(
      (node) => node.kind !== 'REINDEX_OBJECT_INDEX' && node.kind !== 'REINDEX_OBJECT_TABLE',
    ) && 'REINDEX of a schema or database',
    findNodes(tree, 'VacuumStmt').some((node) => node.is_vacuumcmd) && 'VACUUM',
    findNodes(tree, 'PartitionCmd').some((node) => node.concurrent) && 'DETACH PARTITION CONCURRENTLY',
    findNodes(tree, 'ClusterStmt').some((node) => node.relation === undefined) &&
      'CLUSTER of a whole database',
    findNodes(tree, 'DiscardStmt').some((node) => node.target === 'DISCARD_ALL') && 'DISCARD ALL',
    has('AlterDatabaseStmt') && option('tablespace') && 'ALTER DATABASE SET TABLESPACE',
    has('AlterSystemStmt') && 'ALTER SYSTEM',
    has('CreatedbStmt') && 'CREATE DATABASE',
    has('DropdbStmt') && 'DROP DATABASE',
    has('CreateTableSpaceStmt') && 'CREATE TABLESPACE',
    has('DropTableSpaceStmt') && 'DROP TABLESPACE',
    has('CreateSubscriptionStmt') && 'CREATE SUBSCRIPTION',
    has('DropSubscriptionStmt') && 'DROP SUBSCRIPTION',
    has('AlterSubscriptionStmt') && 'ALTER SUBSCRIPTION',
  ].filter((name) => name !== false);
  const [name] = names;
  return name === undefined ? [] : [{ name, position: fragment.locate() }];
}
