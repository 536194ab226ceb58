import { findNodes } from './walk-tree.ts';

const WORDS: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'BEGIN',
  TRANS_STMT_START: 'START TRANSACTION',
  TRANS_STMT_COMMIT: 'COMMIT',
  TRANS_STMT_ROLLBACK: 'ROLLBACK',
  TRANS_STMT_SAVEPOINT: 'SAVEPOINT',
  TRANS_STMT_RELEASE: 'RELEASE SAVEPOINT',
  TRANS_STMT_ROLLBACK_TO: 'ROLLBACK TO SAVEPOINT',
  TRANS_STMT_PREPARE: 'PREPARE TRANSACTION',
  TRANS_STMT_COMMIT_PREPARED: 'COMMIT PREPARED',
  TRANS_STMT_ROLLBACK_PREPARED: 'ROLLBACK PREPARED',
};

/** A setting that decides how a transaction runs: a READ ONLY one could be made writable by it. */
const SETTING = /^(?:default_)?transaction_(?:read_only|isolation|deferrable)$/;

/** What in a statement would begin, end or re-mode a transaction; location in bytes where it is known. */
export function transactionControl(tree: unknown): { word: string; location: number | null }[] {
  const statements = findNodes(tree, 'TransactionStmt').map(({ kind }) => ({
    word: WORDS[kind ?? ''] ?? 'Transaction control',
    location: null,
  }));
  const settings = findNodes(tree, 'VariableSetStmt')
    .filter(
      ({ name = '' }) => name === 'TRANSACTION' || name === 'SESSION CHARACTERISTICS' || SETTING.test(name),
    )
    .map(({ name }) => ({ word: `SET ${name}`, location: null }));
  const calls = findNodes(tree, 'FuncCall')
    .filter(({ funcname, args }) => {
      const setting = findNodes(args?.[0] ?? [], 'A_Const')[0]?.sval?.sval ?? '';
      return findNodes(funcname, 'String').at(-1)?.sval === 'set_config' && SETTING.test(setting);
    })
    .map(({ location }) => ({ word: 'set_config of a transaction setting', location: location ?? null }));
  return [...statements, ...settings, ...calls];
}
