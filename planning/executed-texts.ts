import type { Parser } from './parser.ts';
import { findNodes } from './walk-tree.ts';

/** Statements of PL/pgSQL that execute a text, and the field that holds it. */
const TEXT_FIELD: Readonly<Record<string, string>> = {
  PLpgSQL_stmt_dynexecute: 'query',
  PLpgSQL_stmt_dynfors: 'query',
  PLpgSQL_stmt_return_query: 'dynquery',
};

/**
 * The SQL that `execute '…'` and `execute format('…', …)` send, with `x` for what format fills in. A text that
 * is put together in another way is not known before it runs, and nothing is returned for it.
 */
export function executedTexts(
  parser: Parser,
  statement: { readonly tag: string; readonly fields: object },
): string[] {
  const field = TEXT_FIELD[statement.tag];
  if (field === undefined) return [];
  const expression: unknown = Reflect.get(statement.fields, field);
  return textsOf(expression).flatMap((text) => {
    const [call] = constantCalls(parser, text);
    return call === undefined ? [] : [call];
  });
}

function textsOf(expression: unknown): string[] {
  const inner: unknown = member(expression, 'PLpgSQL_expr');
  const query = member(inner, 'query');
  return typeof query === 'string' ? [query] : [];
}

function constantCalls(parser: Parser, expression: string): string[] {
  const tree = parser.parseSync(`select ${expression}`);
  const target = findNodes(tree, 'ResTarget')[0]?.val;
  if (target === undefined) return [];
  if ('A_Const' in target) return [target.A_Const.sval?.sval ?? ''];
  if (!('FuncCall' in target)) return [];
  const { funcname, args } = target.FuncCall;
  const [format] = args ?? [];
  if (
    findNodes(funcname, 'String').at(-1)?.sval !== 'format' ||
    format === undefined ||
    !('A_Const' in format)
  )
    return [];
  return [filled(format.A_Const.sval?.sval ?? '')];
}

function filled(format: string): string {
  return format.replace(
    /%(?:\d+\$)?-?\d*([sIL%])/g,
    (_, kind: string) => ({ '%': '%', L: `'x'` })[kind] ?? 'x',
  );
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
