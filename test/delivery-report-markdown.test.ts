import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DeliveryRequest } from '../delivery/delivery-request.ts';
import { renderReportLine } from '../delivery/report/render-report-line.ts';
import { reportLine } from '../delivery/report/report-entry.ts';
import { aRequest } from './delivery-support/a-delivery.ts';

const HOSTILE = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '\n# A heading\n',
    '\r\n```\n# out of the block',
    '~~~',
    '<script>alert(1)</script>',
    '[text](javascript:alert(1))',
    '![x](https://example.com/x.png)',
    '| a | b |',
    '\u2028## after a line separator',
    '\u202egnp.exe',
    '&lt;b&gt;',
    '`code`',
    '-->',
    '\ud800',
    'www.example.com',
  ),
);

/** The section that a request becomes. */
function sectionOf(request: DeliveryRequest): string {
  return renderReportLine(String(reportLine(request, new Date(0))?.bytes).replace(/\n$/, ''));
}

/** What a line is to Markdown; the words in it do not matter. */
const shape = (section: string) =>
  section
    .split(/\r\n|[\n\r\u2028\u2029\u0085]/)
    .map((line) => /^(?:## |- |```json$|```$|$)/.exec(line)?.[0] ?? 'json');

test('no event gives its section another structure', () => {
  fc.assert(
    fc.property(
      HOSTILE,
      HOSTILE,
      HOSTILE,
      fc.jsonValue(),
      HOSTILE,
      (domain, type, subject, payload, text) => {
        const request = aRequest({
          routeCode: text,
          event: { domain, type, subject },
          payload: { payload, text },
        });
        const section = sectionOf(request);
        const lines = shape(section);
        expect(lines.slice(0, 9)).toEqual(['', '## ', '', '- ', '- ', '- ', '- ', '', '```json']);
        expect(lines.slice(-2)).toEqual(['```', '']);
        expect(new Set(lines.slice(9, -2))).toEqual(new Set(['json']));
        const outside = section.split('\n').slice(0, 8).join('\n');
        expect(outside).not.toMatch(/(?<!\\)[<>`[\]&|*_~#!](?!# | )/);
        expect(section).not.toMatch(/[\p{Cf}\p{Zl}\p{Zp}]/u);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('a payload in a section is the one that was frozen, to the last digit', () => {
  fc.assert(
    fc.property(fc.jsonValue(), HOSTILE, (payload, text) => {
      const request = aRequest({ payload: { payload, text } });
      const block = blockOf(sectionOf(request));
      expect(JSON.parse(block)).toEqual(JSON.parse(request.safePayload));
    }),
    { numRuns: 1_000 },
  );
  const safePayload = '{"id": 12345678901234567890, "rate": 1.10, "none": [], "some": [{"a": {}}, "}"]}';
  expect(blockOf(sectionOf(aRequest({ safePayload })))).toBe(
    [
      '{',
      '  "id": 12345678901234567890,',
      '  "rate": 1.10,',
      '  "none": [],',
      '  "some": [',
      '    {',
      '      "a": {}',
      '    },',
      '    "}"',
      '  ]',
      '}',
    ].join('\n'),
  );
});

const blockOf = (section: string) => section.split('```json\n')[1]?.split('\n```')[0] ?? '';
