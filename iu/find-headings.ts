import { htmlBlockEnd } from './html-block.ts';
import { isReferenceDefinition } from './reference-definition.ts';

/** A heading at the top level of a document; lines are counted from 0. */
export interface Heading {
  readonly level: number;
  /** First line of the heading; a setext heading may have several. */
  readonly firstLine: number;
  /** Text as written, without `#` marks and underline. */
  readonly raw: string;
}

type Container =
  | { readonly kind: 'quote' }
  | { readonly kind: 'item'; readonly width: number; empty: boolean };
type Leaf =
  | { readonly kind: 'paragraph'; readonly firstLine: number; readonly lines: string[] }
  | { readonly kind: 'fence'; readonly mark: string; readonly length: number }
  | { readonly kind: 'html'; readonly end: RegExp | null };

const ATX = /^(#{1,6})(?:[ \t]+|$)/;
const FENCE = /^(`{3,})(?!.*`)|^(~{3,})/;
const SETEXT = /^(=+|-+)[ \t]*$/;
const THEMATIC_BREAK = /^(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/;
const LIST_MARKER = /^(?:[*+-]|(\d{1,9})[.)])(?=\s|$)/;

/**
 * Finds the headings that stand at the top level of a Markdown document, by CommonMark's block structure:
 * a `#` inside fenced or indented code, an HTML block or comment, a block quote or a list item is none.
 *
 * @param lines the document without front matter, split at line ends.
 */
export function findHeadings(lines: readonly string[]): Heading[] {
  const headings: Heading[] = [];
  let containers: Container[] = [];
  let leaf = null as Leaf | null;

  for (const [lineNo, line] of lines.entries()) {
    let { rest, depth } = descend(containers, expandTabs(line));
    let lazy = depth < containers.length;
    if (!lazy && leaf !== null && leaf.kind !== 'paragraph') {
      if (endsLeaf(leaf, rest)) leaf = null;
      else if (leaf.kind === 'fence' || rest.trim() !== '' || leaf.end !== null) continue;
      if (leaf === null) continue;
    }

    const enter = (next: Leaf | null): void => {
      containers.length = depth;
      const parent = containers.at(-1);
      if (parent?.kind === 'item') parent.empty = false;
      leaf = next;
      lazy = false;
    };

    let settled = false;
    while (!settled && rest.trim() !== '') {
      const indent = indentOf(rest);
      const text = rest.slice(indent);
      const open: Leaf | null = leaf;
      const paragraph: (Leaf & { kind: 'paragraph' }) | null = open?.kind === 'paragraph' ? open : null;
      const interrupted = paragraph !== null && !lazy ? paragraph : null;
      if (indent >= 4) {
        if (paragraph === null) {
          enter(null);
          settled = true;
        }
        break;
      }

      const atx = ATX.exec(text);
      const fence = FENCE.exec(text);
      const html = htmlBlockEnd(text, paragraph !== null);
      const item = listItem(text, indent, interrupted !== null);
      if (text.startsWith('>')) {
        enter(null);
        containers.push({ kind: 'quote' });
        depth = containers.length;
        rest = text.slice(text[1] === ' ' ? 2 : 1);
      } else if (atx) {
        enter(null);
        if (containers.length === 0) {
          headings.push({
            level: (atx[1] ?? '').length,
            firstLine: lineNo,
            raw: atxText(text.slice(atx[0].length)),
          });
        }
        settled = true;
      } else if (fence) {
        const mark = fence[1] ?? fence[2] ?? '';
        enter({ kind: 'fence', mark: mark.charAt(0), length: mark.length });
        settled = true;
      } else if (html !== undefined) {
        enter(html.closed ? null : { kind: 'html', end: html.end });
        settled = true;
      } else if (
        interrupted !== null &&
        SETEXT.test(text) &&
        firstOwnLine(interrupted) < interrupted.lines.length
      ) {
        const skip = firstOwnLine(interrupted);
        enter(null);
        if (containers.length === 0) {
          headings.push({
            level: text.startsWith('=') ? 1 : 2,
            firstLine: interrupted.firstLine + skip,
            raw: interrupted.lines.slice(skip).join(' '),
          });
        }
        settled = true;
      } else if (THEMATIC_BREAK.test(text)) {
        enter(null);
        settled = true;
      } else if (item) {
        enter(null);
        containers.push({ kind: 'item', width: item.width, empty: true });
        depth = containers.length;
        rest = item.rest;
      } else {
        break;
      }
    }
    if (settled) continue;

    const open: Leaf | null = leaf;
    const paragraph: (Leaf & { kind: 'paragraph' }) | null = open?.kind === 'paragraph' ? open : null;
    if (rest.trim() === '') {
      containers = containers.slice(0, depth);
      leaf = null;
    } else if (paragraph !== null) {
      paragraph.lines.push(rest.trim());
    } else {
      enter({ kind: 'paragraph', firstLine: lineNo, lines: [rest.trim()] });
    }
  }
  return headings;
}

/** How many of the open containers the line continues, and what is left of it inside them. */
function descend(containers: readonly Container[], line: string): { rest: string; depth: number } {
  let rest = line;
  let depth = 0;
  for (const container of containers) {
    const indent = indentOf(rest);
    if (container.kind === 'quote') {
      if (indent > 3 || rest[indent] !== '>') break;
      rest = rest.slice(indent + (rest[indent + 1] === ' ' ? 2 : 1));
    } else if (rest.trim() === '') {
      if (container.empty) break;
    } else {
      if (indent < container.width) break;
      rest = rest.slice(container.width);
    }
    depth += 1;
  }
  return { rest, depth };
}

function endsLeaf(leaf: Exclude<Leaf, { kind: 'paragraph' }>, rest: string): boolean {
  if (leaf.kind === 'html') return leaf.end?.test(rest) ?? false;
  const closing = /^ {0,3}(`{3,}|~{3,})[ \t]*$/.exec(rest)?.[1] ?? '';
  return closing.startsWith(leaf.mark) && closing.length >= leaf.length;
}

/** A list item opened by this text: the width its content is indented by, and what follows the marker. */
function listItem(text: string, indent: number, interrupts: boolean): { width: number; rest: string } | null {
  const marker = LIST_MARKER.exec(text);
  if (marker === null) return null;
  const after = text.slice(marker[0].length);
  const blank = after.trim() === '';
  if (interrupts && (blank || (marker[1] !== undefined && Number(marker[1]) !== 1))) return null;
  const spaces = indentOf(after);
  const padding = blank || spaces > 4 ? 1 : spaces;
  return { width: indent + marker[0].length + padding, rest: after.slice(padding) };
}

/** Index of the first line of a paragraph that is not a link reference definition. */
function firstOwnLine(paragraph: { readonly lines: readonly string[] }): number {
  const first = paragraph.lines.findIndex((line) => !isReferenceDefinition(line));
  return first === -1 ? paragraph.lines.length : first;
}

function atxText(text: string): string {
  return text
    .replace(/^[ \t]*#+[ \t]*$/, '')
    .replace(/[ \t]+#+[ \t]*$/, '')
    .trim();
}

function indentOf(text: string): number {
  return text.length - text.trimStart().length;
}

/** Tabs become spaces up to the next multiple of 4, which is how CommonMark measures structure. */
function expandTabs(line: string): string {
  if (!line.includes('\t')) return line;
  let expanded = '';
  for (const char of line) expanded += char === '\t' ? ' '.repeat(4 - (expanded.length % 4)) : char;
  return expanded;
}
