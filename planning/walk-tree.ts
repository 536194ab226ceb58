import type { Node } from 'libpg-query';

/** Names of the nodes of PostgreSQL's parse tree, such as `UpdateStmt`. */
export type NodeTag = Node extends infer N ? (N extends N ? keyof N : never) : never;
/** Fields of the node with that name. */
export type NodeFields<Tag extends NodeTag> = Extract<Node, { [K in Tag]: unknown }>[Tag];

export type Visit = (tag: string, fields: object) => void;

/** Calls `visit` for every node under a value of the parse tree, parents first. */
export function walkTree(value: unknown, visit: Visit): void {
  if (Array.isArray(value)) {
    for (const item of value) walkTree(item, visit);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      if (isTag(key) && typeof member === 'object' && member !== null) visit(key, member);
      walkTree(member, visit);
    }
  }
}

/** All nodes of one name under a value of the parse tree. */
export function findNodes<Tag extends NodeTag>(value: unknown, tag: Tag): NodeFields<Tag>[] {
  const found: NodeFields<Tag>[] = [];
  walkTree(value, (name, fields) => {
    if (name === tag) found.push(fields as NodeFields<Tag>);
  });
  return found;
}

/** Field names of the tree are lower case, node names begin with an upper-case letter. */
function isTag(key: string): boolean {
  return /^[A-Z]/.test(key);
}
