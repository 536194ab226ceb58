import type { FuncCall, Node } from 'libpg-query';

/** Names of the nodes of PostgreSQL's parse tree, such as `UpdateStmt`. */
export type NodeTag = Node extends infer N ? (N extends N ? keyof N : never) : never;
/** Fields of the node with that name. */
export type NodeFields<Tag extends NodeTag> = Extract<Node, { [K in Tag]: unknown }>[Tag];

type Visit = (tag: string, fields: object) => void;

/** Calls `visit` for every node under a value of the parse tree, parents first. */
function walkTree(value: unknown, visit: Visit): void {
  if (Array.isArray(value)) {
    for (const item of value) walkTree(item, visit);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      if (typeof member !== 'object' || member === null) continue;
      if (isTag(key)) visit(key, member);
      walkTree(member, visit);
    }
  }
}

type Index = ReadonlyMap<string, readonly object[]>;

/** Many questions are asked of one tree, and a tree may have a million nodes: it is walked once. */
const indexes = new WeakMap<object, Index>();

/** All nodes of one name under a value of the parse tree, parents first. */
export function findNodes<Tag extends NodeTag>(value: unknown, tag: Tag): readonly NodeFields<Tag>[] {
  if (typeof value !== 'object' || value === null) return [];
  return (indexOf(value).get(tag) ?? []) as readonly NodeFields<Tag>[];
}

function indexOf(value: object): Index {
  const known = indexes.get(value);
  if (known !== undefined) return known;
  const index = new Map<string, object[]>();
  walkTree(value, (tag, fields) => {
    const list = index.get(tag);
    if (list === undefined) index.set(tag, [fields]);
    else list.push(fields);
  });
  indexes.set(value, index);
  return index;
}

/** Calls of functions and, by CALL, of procedures. */
export function findFunctionCalls(value: unknown): readonly FuncCall[] {
  const called = findNodes(value, 'CallStmt').flatMap(({ funccall }) => funccall ?? []);
  return [...findNodes(value, 'FuncCall'), ...called];
}

/** Field names of the tree are lower case, node names begin with an upper-case letter. */
function isTag(key: string): boolean {
  const first = key.charCodeAt(0);
  return first >= 65 && first <= 90;
}
