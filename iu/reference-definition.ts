const DEFINITION =
  /^\[(?:[^[\]\\]|\\.)+\]:\s*(?:<[^<>]*>|[^\s<]\S*)(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*$/;

/** Whether a line is, on its own, a link reference definition such as `[name]: https://example.org "Title"`. */
export function isReferenceDefinition(line: string): boolean {
  return DEFINITION.test(line);
}
