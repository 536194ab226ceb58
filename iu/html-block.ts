/** How an HTML block that begins on a line ends: at `end`, or (null) before the next blank line. */
export interface HtmlBlock {
  readonly end: RegExp | null;
  /** The block ends on the line it begins on. */
  readonly closed: boolean;
}

const ATTRIBUTE = `\\s+[a-zA-Z_:][a-zA-Z0-9:._-]*(?:\\s*=\\s*(?:[^"'=<>\`\\x00-\\x20]+|'[^']*'|"[^"]*"))?`;
const COMPLETE_TAG = new RegExp(
  `^(?:<[A-Za-z][A-Za-z0-9-]*(?:${ATTRIBUTE})*\\s*/?>|</[A-Za-z][A-Za-z0-9-]*\\s*>)\\s*$`,
);
const BLOCK_TAG = new RegExp(
  `^</?(?:${[
    'address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl',
    'dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main',
    'menu|menuitem|nav|noframes|ol|optgroup|option|p|param|section|search|summary|table|tbody|td|tfoot|th|thead',
    'title|tr|track|ul',
  ].join('|')})(?:\\s|/?>|$)`,
  'i',
);
const DELIMITED: readonly { readonly start: RegExp; readonly end: RegExp }[] = [
  { start: /^<(?:script|pre|textarea|style)(?:\s|>|$)/i, end: /<\/(?:script|pre|textarea|style)>/i },
  { start: /^<!--/, end: /-->/ },
  { start: /^<\?/, end: /\?>/ },
  { start: /^<![A-Za-z]/, end: />/ },
  { start: /^<!\[CDATA\[/, end: /\]\]>/ },
];

/**
 * The HTML block that a line begins, by CommonMark's seven start conditions; undefined where it begins none.
 *
 * @param text the line without its indent.
 * @param inParagraph whether a paragraph is open: a lone tag of no block element does not interrupt one.
 */
export function htmlBlockEnd(text: string, inParagraph: boolean): HtmlBlock | undefined {
  if (!text.startsWith('<')) return undefined;
  const delimited = DELIMITED.find(({ start }) => start.test(text));
  if (delimited) return { end: delimited.end, closed: delimited.end.test(text) };
  if (BLOCK_TAG.test(text)) return { end: null, closed: false };
  if (!inParagraph && COMPLETE_TAG.test(text)) return { end: null, closed: false };
  return undefined;
}
