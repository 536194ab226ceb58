import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { documentSections } from '../iu/document-sections.ts';
import { findHeadings } from '../iu/find-headings.ts';
import { headingSlug } from '../iu/heading-slug.ts';
import { headingTitle } from '../iu/heading-title.ts';

const codes = (text: string) => documentSections('d.md', text).map(({ code }) => code.replace('d.md', ''));
const headings = (text: string) => findHeadings(text.split('\n')).map(({ level, raw }) => `${level} ${raw}`);

describe('a heading', () => {
  test.each<[string, string, string[]]>([
    ['has one to six marks and a space', '# a\n###### b\n####### c\n#d\n#\te', ['1 a', '6 b', '1 e']],
    ['may close with marks', '## a ##\n## b#\n### ###', ['2 a', '2 b#', '3 ']],
    ['may be underlined, over several lines', 'a\nb\n===\nc\n---\n\n---', ['1 a b', '2 c']],
    ['may be indented by three spaces, not by four', '   # a\n\n    # b', ['1 a']],
    ['may be empty', '#\n##', ['1 ', '2 ']],
  ])('%s', (_claim, text, expected) => {
    expect(headings(text)).toEqual(expected);
  });

  test.each<[string, string]>([
    ['fenced code', '```sh\n# a\n```'],
    ['code fenced by tildes, with backticks in it', '~~~\n```\n# a\n~~~'],
    ['a fence closed only by one as long', '````\n```\n# a\n````'],
    ['a fence that is never closed', '```\n# a'],
    ['fenced code in a list item', '10. x\n\n    ```sh\n    # a\n    ```'],
    ['a fence that a list item holds, at its own indent', '- x\n  ```\n  # a\n  ```'],
    ['indented code', 'x\n\n    # a'],
    ['an HTML comment', '<!--\n# a\n\nb\n---\n-->'],
    ['an HTML block', '<div>\n# a\n</div>'],
    ['a pre block, blank lines and all', '<pre>\n\n# a\n\n</pre>'],
    ['a block quote', '> # a\n> b\n> ---'],
    ['a list item', '- # a\n- b\n  ===\n\n  ## c'],
    ['a paragraph by an escape', '\\# a'],
    ['a table', '| a |\n|---|\n| b |'],
    ['a link definition over a thematic break', '[a]: https://example.org\n---'],
  ])('is not what stands in %s', (_claim, text) => {
    expect(headings(text)).toEqual([]);
  });

  test('follows each of these when they end', () => {
    for (const before of [
      '```\n# a\n```',
      '<!-- # a -->',
      '<div>\n# a\n</div>\n',
      '> # a\n',
      '- # a\n',
      '    # a',
    ]) {
      expect(headings(`${before}\n# b`), before).toEqual(['1 b']);
    }
  });
});

describe('front matter', () => {
  test.each<[string, string, string[]]>([
    ['of YAML is no heading', '---\n# comment\ntitle: x\n---\n# a', ['', '#a']],
    ['of TOML is no heading', '+++\n# comment\n+++\n# a', ['', '#a']],
    ['ends at dots', '---\ntitle: x\n...\n# a', ['', '#a']],
    ['is a mapping; otherwise the dashes are a break', '---\n# a\n\ntext\n\n---', ['', '#a']],
    ['that does not end is text', '---\n# a', ['', '#a']],
  ])('%s', (_claim, text, expected) => {
    expect(codes(text)).toEqual(expected);
  });
  test('stays in the text before the first heading', () => {
    expect(documentSections('d.md', '---\ntitle: x\n---\n\nintro\n\n# a')[0]).toMatchObject({
      code: 'd.md',
      title: 'd.md',
      parent: null,
      body: '---\ntitle: x\n---\n\nintro',
    });
  });
});

describe('an address', () => {
  test('is the path of the headings a section is nested in', () => {
    expect(codes('# A\n## B\n### C\n## D\n# E')).toEqual(['#a', '#a/b', '#a/b/c', '#a/d', '#e']);
  });
  test('stays when siblings move', () => {
    expect(codes('# A\n## D\n## B\n### C').sort()).toEqual(codes('# A\n## B\n### C\n## D').sort());
  });
  test('skips levels that are not there', () => {
    expect(codes('## A\n##### B\n### C\n# D')).toEqual(['#a', '#a/b', '#a/c', '#d']);
  });
  test('of the same heading again counts from 2 in document order, and never collides', () => {
    expect(codes('# A\n## U\n## U\n### K\n## U 2\n## U\n# A\n## U')).toEqual([
      '#a',
      '#a/u',
      '#a/u-2',
      '#a/u-2/k',
      '#a/u-2-2',
      '#a/u-3',
      '#a-2',
      '#a-2/u',
    ]);
  });
  test('is made as GitHub makes anchors', () => {
    expect(headingSlug('The `x` & y: Ärger_2 (日本)')).toBe('the-x--y-ärger_2-日本');
    expect(headingSlug('!?')).toBe('section');
  });
  test('of a long heading is cut, and stays apart from another with the same beginning', () => {
    const [one, two] = [headingSlug(`${'x'.repeat(200)}1`), headingSlug(`${'x'.repeat(200)}2`)];
    expect(one).toMatch(/^x{120}-[0-9a-f]{8}$/);
    expect(one).not.toBe(two);
  });
});

test.each([
  ['`a_b` **bold** _it_ ~~gone~~', 'a_b bold it gone'],
  ['[text](https://example.org/(x) "t") and ![alt](i.png)', 'text and alt'],
  ['snake_case_name stays, 2 * 3 * 4 too', 'snake_case_name stays, 2 * 3 * 4 too'],
  ['\\*no\\* &amp; <b>tag</b> <https://example.org>', '*no* & tag https://example.org'],
  ['`` a ` b `` `**c**`', 'a ` b **c**'],
])('the title of %s is %s', (raw, title) => {
  expect(headingTitle(raw)).toBe(title);
});

describe('the text of a section', () => {
  test('is its own, with its heading, without what is nested and without blank lines around', () => {
    const [a, b] = documentSections('d.md', '\n\n# A\n\none\n\n\n## B\ntwo\n\n');
    expect(a).toMatchObject({ body: '# A\n\none', firstLine: 3, lastLine: 5, position: 1 });
    expect(b).toMatchObject({
      body: '## B\ntwo',
      firstLine: 8,
      lastLine: 9,
      position: 2,
      parent: 'd.md#a',
      label: 'b',
    });
  });
  test('is the same whatever the line ends', () => {
    const text = '# A\n\none\n## B\ntwo';
    expect(documentSections('d.md', text.replaceAll('\n', '\r\n'))).toEqual(documentSections('d.md', text));
    expect(documentSections('d.md', text.replaceAll('\n', '\r'))).toEqual(documentSections('d.md', text));
  });
  test('of an empty document is none', () => {
    expect(documentSections('d.md', '')).toEqual([]);
    expect(documentSections('d.md', '\n \n')).toEqual([]);
  });
});

test('whatever the document: nothing of it is lost, no address occurs twice, parents come first', () => {
  const line = fc.oneof(
    fc.constantFrom(
      '# a',
      '## a',
      '### b',
      'text',
      '===',
      '---',
      '```',
      '~~~',
      '<!--',
      '-->',
      '<div>',
      '- x',
      '> q',
    ),
    fc.constantFrom('', ' ', '    # i', '1. # l', '\t# t', '[a]: /u', '#', '---\na: 1\n---', '+++'),
    fc.string({ unit: 'grapheme' }),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const sections = documentSections('d.md', lines.join('\n'));
      const withoutBlanks = (text: string) => text.split(/\r\n|\r|\n/).filter((each) => each.trim() !== '');
      expect(sections.flatMap(({ body }) => withoutBlanks(body))).toEqual(withoutBlanks(lines.join('\n')));
      const seen = new Set<string>();
      for (const { code, parent } of sections) {
        expect(seen.has(code)).toBe(false);
        if (parent !== null) expect(seen.has(parent)).toBe(true);
        seen.add(code);
      }
    }),
    { numRuns: 500 },
  );
});
