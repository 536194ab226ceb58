const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
};

const LONGEST = 1000;

/**
 * The words of a heading without its inline Markdown: code marks, emphasis, links and images (their text stays),
 * tags, escapes and the common entities; white space collapsed, Unicode in form NFC.
 * Of a heading longer than 1,000 characters only these count.
 */
export function headingTitle(raw: string): string {
  const kept: string[] = [];
  const keep = (text: string): string => `\u{e000}${kept.push(text) - 1}\u{e001}`;

  const words = raw
    .slice(0, LONGEST)
    .replace(/[\u{e000}\u{e001}]/gu, '')
    .replace(/\\([!-/:-@[-`{-~])/g, (_, char: string) => keep(char))
    .replace(/(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)/g, (_, _marks: string, code: string) => keep(code.trim()))
    .replace(/<!--.*?-->/g, '')
    .replace(/<([a-z][a-z0-9+.-]{1,31}:[^\s<>]*)>/gi, (_, url: string) => keep(url))
    .replace(/<\/?[a-z][^<>]*>/gi, '')
    .replace(/!?\[([^[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^[\]]*\])/g, '$1')
    .replace(/(\*{1,3}|~~)(?=\S)(.+?)(?<=\S)\1/g, '$2')
    .replace(/(?<![\p{L}\p{N}_])(_{1,3})(?=\S)(.+?)(?<=\S)\1(?![\p{L}\p{N}_])/gu, '$2')
    .replace(/&(amp|lt|gt|quot|apos|nbsp);/g, (_, name: string) => ENTITIES[name] ?? '');

  const restore = (text: string): string =>
    text.replace(/\u{e000}(\d+)\u{e001}/gu, (_, index: string) => restore(kept[Number(index)] ?? ''));
  return restore(words).replace(/\s+/g, ' ').trim().normalize('NFC');
}
