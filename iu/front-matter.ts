import { parse } from 'yaml';

/**
 * How many lines at the start of a document are front matter: a YAML mapping between `---` and `---` (or `...`),
 * or TOML between `+++` and `+++`. 0 where the document begins with text, which may begin with a thematic break.
 */
export function frontMatterLines(lines: readonly string[]): number {
  const opening = lines[0]?.trimEnd();
  if (opening !== '---' && opening !== '+++') return 0;
  const closings = opening === '---' ? ['---', '...'] : ['+++'];
  const end = lines.findIndex((line, index) => index > 0 && closings.includes(line.trimEnd()));
  if (end === -1) return 0;
  if (opening === '+++') return end + 1;
  return isMapping(lines.slice(1, end).join('\n')) ? end + 1 : 0;
}

function isMapping(text: string): boolean {
  try {
    const value: unknown = parse(text, { logLevel: 'silent' });
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
