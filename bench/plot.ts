import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawBacklog } from './plot/draw-backlog.ts';
import { drawDelivery } from './plot/draw-delivery.ts';
import { drawDrain } from './plot/draw-drain.ts';
import { drawMemory } from './plot/draw-memory.ts';
import { type Result, readResult } from './plot/result.ts';
import { backlogTable, deadEndpointTable, deliveryTable, drainTable, memoryTable } from './plot/tables.ts';

/** Draws docs/performance/NAME.svg from NAME.json where there is something to draw, and writes the table between its two marks in docs/performance.md. */
const DRAWN: Readonly<
  Record<string, { draw: ((result: Result) => string) | null; tabulate: (result: Result) => string }>
> = {
  drain: { draw: drawDrain, tabulate: drainTable },
  backlog: { draw: drawBacklog, tabulate: backlogTable },
  delivery: { draw: drawDelivery, tabulate: deliveryTable },
  'delivery-memory': { draw: drawMemory, tabulate: memoryTable },
  'delivery-dead-endpoint': { draw: null, tabulate: deadEndpointTable },
};

const DOCS = join(import.meta.dirname, '../docs');
const PAGE = join(DOCS, 'performance.md');

let page = await readFile(PAGE, 'utf8');
for (const [name, { draw, tabulate }] of Object.entries(DRAWN)) {
  const file = (suffix: string) => join(DOCS, 'performance', `${name}.${suffix}`);
  const result = await readResult(file('json'));
  await writeFile(file('json'), `${JSON.stringify(result, null, 2)}\n`);
  if (draw !== null) await writeFile(file('svg'), draw(result));
  page = between(page, name, tabulate(result));
}
await writeFile(PAGE, page);

/** @throws Error where the page has not the two marks */
function between(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- figures: ${name} -->`, `<!-- end of figures: ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${PAGE} has not the marks ${begin} and ${end}, in this order`);
  return `${text.slice(0, from)}${begin}\n\n${content}\n\n${text.slice(to)}`;
}
