import { findHeadings, type Heading } from './find-headings.ts';
import { frontMatterLines } from './front-matter.ts';
import { headingSlug } from './heading-slug.ts';
import { headingTitle } from './heading-title.ts';

/** One section of a document: what becomes one information unit. */
export interface Section {
  /** Address of the section: the document, `#`, and the slugs of its heading and of those it is nested in. */
  readonly code: string;
  /** Address of the section it is nested in; null at the top. */
  readonly parent: string | null;
  /** Last part of the address; the whole address at the top. */
  readonly label: string;
  readonly title: string;
  /** The section's own text with its heading, up to the next heading, without blank lines around it. */
  readonly body: string;
  /** Place in the document, from 1. */
  readonly position: number;
  /** First and last line in the file, from 1. */
  readonly firstLine: number;
  readonly lastLine: number;
}

/**
 * Cuts a Markdown document into sections, one for each heading in document order. Text before the first heading
 * (front matter too) is a section of its own, addressed by the document alone. An address depends only on the
 * headings above it, so it stays when siblings move; the same heading again in the same place gets `-2`, `-3`.
 *
 * @param document address of the document, for instance `docs/runbook.md`
 * @param text the document; line ends of any kind
 */
export function documentSections(document: string, text: string): Section[] {
  const lines = text.split(/\r\n|\r|\n/);
  const skipped = frontMatterLines(lines);
  const headings = findHeadings(lines.slice(skipped)).map((heading) => ({
    ...heading,
    firstLine: heading.firstLine + skipped,
  }));

  const sections: Section[] = [];
  const add = (
    section: Pick<Section, 'code' | 'parent' | 'label' | 'title'>,
    from: number,
    to: number,
  ): void => {
    const last = lines.slice(from, to).findLastIndex(isText) + from;
    if (last < from) return;
    const first = lines.findIndex((line, index) => index >= from && isText(line));
    const body = lines.slice(first, last + 1).join('\n');
    sections.push({
      ...section,
      body,
      position: sections.length + 1,
      firstLine: first + 1,
      lastLine: last + 1,
    });
  };

  const fileName = document.slice(document.lastIndexOf('/') + 1);
  add(
    { code: document, parent: null, label: document, title: fileName },
    0,
    headings[0]?.firstLine ?? lines.length,
  );

  const taken = new Set<string>();
  let above: { readonly level: number; readonly code: string }[] = [];
  for (const [index, heading] of headings.entries()) {
    above = above.filter(({ level }) => level < heading.level);
    const parent = above.at(-1)?.code ?? null;
    const named = nameSection(document, parent, heading, taken);
    above.push({ level: heading.level, code: named.code });
    add({ ...named, parent }, heading.firstLine, headings[index + 1]?.firstLine ?? lines.length);
  }
  return sections;
}

function nameSection(
  document: string,
  parent: string | null,
  heading: Heading,
  taken: Set<string>,
): Pick<Section, 'code' | 'label' | 'title'> {
  const title = headingTitle(heading.raw);
  const slug = headingSlug(title);
  const before = parent === null ? `${document}#` : `${parent}/`;
  let part = slug;
  for (let again = 2; taken.has(before + part); again += 1) part = `${slug}-${again}`;
  const code = before + part;
  taken.add(code);
  return { code, label: parent === null ? code : part, title: title === '' ? part : title };
}

function isText(line: string): boolean {
  return line.trim() !== '';
}
