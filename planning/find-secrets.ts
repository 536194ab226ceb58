import type { Finding } from './finding.ts';
import { findNodes } from './walk-tree.ts';

/** `password=…` in a connection string, or a URL with a password. */
const SECRET_TEXT = /\bpassword\s*=\s*[^\s=]|^[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:[^\s/@]+@/i;

/** Passwords written as plain text: of roles, user mappings, subscriptions and connection strings. */
export function findSecrets(tree: unknown): Finding[] {
  const options = findNodes(tree, 'DefElem')
    .filter(({ defname = '', arg }) => {
      const isText = arg !== undefined && 'String' in arg && (arg.String.sval ?? '') !== '';
      return isText && /^(?:password|sslpassword)$/.test(defname);
    })
    .map(({ location }) => location ?? null);
  const constants = findNodes(tree, 'A_Const')
    .filter(({ sval }) => SECRET_TEXT.test(sval?.sval ?? ''))
    .map(({ location }) => location ?? null);
  const subscriptions = [
    ...findNodes(tree, 'CreateSubscriptionStmt'),
    ...findNodes(tree, 'AlterSubscriptionStmt'),
  ]
    .filter(({ conninfo = '' }) => SECRET_TEXT.test(conninfo))
    .map(() => null);
  return [...options, ...constants, ...subscriptions];
}
