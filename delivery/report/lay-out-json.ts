const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** JSON text over several lines, two spaces a level; each text and number as it stands, of which a parser keeps less. */
export function layOutJson(json: string): string {
  const parts: string[] = [];
  let depth = 0;
  const newLine = () => `\n${'  '.repeat(depth)}`;
  let before = '';
  for (const [token] of json.matchAll(TOKEN)) {
    const closes = token === '}' || token === ']';
    const isEmpty = closes && (before === '{' || before === '[');
    if (closes) {
      depth -= 1;
      if (!isEmpty) parts.push(newLine());
    } else if (before === '{' || before === '[' || before === ',') parts.push(newLine());
    parts.push(token === ':' ? ': ' : token);
    if (token === '{' || token === '[') depth += 1;
    before = token;
  }
  return parts.join('');
}
